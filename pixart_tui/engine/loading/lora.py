"""Merges a LoRA into a transformer: W + scale * alpha / rank * B A, in float32."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.lora import ADAPTER_CONFIG, ADAPTER_FILES, Lora, find_lora
from pixart_tui.domain.values import parse_json
from pixart_tui.engine.loading.config_files import read_json
from pixart_tui.engine.loading.lora_names import LayerKeys, layers_of, unsupported
from pixart_tui.engine.loading.weights import tensor_headers
from pixart_tui.engine.typing import Transformer

_METADATA: Final = "lora_adapter_metadata"
"""Where diffusers keeps PEFT's configuration: in the header of the weights."""
_CHANGES_THE_BASE: Final = re.compile(r"pissa|olora|loftq|corda|lora_ga")
"""Ways to begin a LoRA that take something off the model's own weights."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a LoRA.

    Attributes:
        layers: The layers that were changed, in the file's order.
        settings: What its configuration says of alphas, as text; empty where there is none.
        notes: Sentences for the user.
    """

    layers: tuple[str, ...]
    settings: str
    notes: tuple[str, ...] = ()

    def fingerprint(self, base: str, lora: Lora) -> str:
        """The fingerprint of the merged model.

        Args:
            base: That of the model without the LoRA.
            lora: The LoRA.
        """
        text = json.dumps([base, lora.sha256, lora.scale, self.settings])
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@torch.no_grad()
def merge_lora(transformer: Transformer, lora: Lora) -> Merged:
    """Merges a LoRA into the transformer's weights, in place.

    The product and the sum are made in float32, the product on the CPU, so that a file gives the
    same weights on every device. The sum is then rounded to the weight's dtype.

    Args:
        transformer: The transformer; its weights may be on any device.
        lora: The LoRA.

    Raises:
        RequestError: The file is another one than it was, is damaged, is of a kind that is not
            supported, or does not fit the transformer.
    """
    file = Path(lora.path)
    _check_same_file(lora)
    headers = tensor_headers(file)
    linears = {name: x for name, x in transformer.named_modules() if name}
    layers = layers_of(headers, linears, str(file))
    config = _config(file)
    tensors = load_file(file)
    for fqn, keys in layers.items():
        module = linears[fqn]
        down, up = tensors[keys.keys["down"]], tensors[keys.keys["up"]]
        _check_shapes(fqn, module, down, up, file)
        factor = lora.scale * _strength(fqn, keys, tensors, config, rank=down.shape[0])
        delta = factor * (up.float() @ down.float())
        if not delta.isfinite().all():
            raise _unfit(f"{fqn} gets NaN or infinity", file)
        weight = module.weight
        merged = weight.float() + delta.to(weight.device)
        # A new parameter: the old one may be a view of the model's file.
        module.weight = nn.Parameter(merged.to(weight.dtype), weight.requires_grad)
    return Merged(tuple(layers), json.dumps(config, sort_keys=True), _notes(file, layers, config))


def _check_same_file(lora: Lora) -> None:
    if find_lora(Path(lora.path), lora.scale).sha256 != lora.sha256:
        raise RequestError(
            "the LoRA is another file than it was",
            cause=f"{lora.path} has changed since it was asked for",
            next_step="Put the former file back, or start anew with this one.",
        )


def _config(file: Path) -> dict[str, Any]:
    """What PEFT's configuration says of alphas: beside PEFT's weights, or in the header."""
    beside = file.with_name(ADAPTER_CONFIG)
    if file.name == ADAPTER_FILES[0] and beside.is_file():
        config, where = read_json(beside), beside
    else:
        with safe_open(file, framework="pt") as opened:
            text = (opened.metadata() or {}).get(_METADATA, "{}")
        config, where = _parse(text, file), file
        prefix = "transformer."
        config = {key.removeprefix(prefix): value for key, value in config.items()}
    _refuse(config, where)
    known = ("lora_alpha", "alpha_pattern", "use_rslora")
    return {key: config[key] for key in known if config.get(key) is not None}


def _parse(text: str, file: Path) -> dict[str, Any]:
    try:
        config = parse_json(text)
    except ValueError:
        config = None
    if not isinstance(config, dict):
        raise _unfit(f"{_METADATA} in its header is not a JSON object", file)
    return config


def _refuse(config: Mapping[str, Any], where: Path) -> None:
    kind = str(config.get("peft_type") or "LORA").rpartition(".")[2].upper()
    begun = str(config.get("init_lora_weights"))
    if kind != "LORA":
        raise unsupported(kind, f"{where}: peft_type")
    if config.get("use_dora"):
        raise unsupported("DoRA", f"{where}: use_dora")
    if _CHANGES_THE_BASE.match(begun):
        raise unsupported(f"a LoRA that begins as {begun}", f"{where}: init_lora_weights")
    _check_alphas(config.get("lora_alpha"), config.get("alpha_pattern"), where)


def _check_alphas(alpha: Any, patterns: Any, where: Path) -> None:
    alphas = [0 if alpha is None else alpha]
    try:
        for pattern, stated in (patterns or {}).items():
            re.compile(pattern)
            alphas.append(stated)
    except (AttributeError, TypeError, re.error) as error:
        raise _unfit(f"alpha_pattern in {where.name} cannot be read", where) from error
    if not all(isinstance(x, int | float) and math.isfinite(x) for x in alphas):
        raise _unfit(f"an alpha in {where.name} is not a number", where)


def _strength(
    fqn: str, keys: LayerKeys, tensors: Mapping[str, Tensor], config: Mapping[str, Any], rank: int
) -> float:
    """Alpha / rank; alpha is the layer's own, else the configuration's, else the rank."""
    if "alpha" in keys.keys:
        alpha = float(tensors[keys.keys["alpha"]].float().mean())
    else:
        patterns = config.get("alpha_pattern", {}).items()
        stated = (x for key, x in patterns if re.fullmatch(rf"(.*\.)?({key})", fqn))
        alpha = float(next(stated, config.get("lora_alpha", rank)))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _check_shapes(fqn: str, module: nn.Module, down: Tensor, up: Tensor, file: Path) -> None:
    if isinstance(module, nn.Conv2d) or 4 in (down.ndim, up.ndim):
        raise unsupported("LoCon on convolutions", f"{file}: {fqn}")
    if not isinstance(module, nn.Linear):
        raise unsupported(f"LoRA on a {type(module).__name__}", f"{file}: {fqn}")
    out_features, in_features = module.weight.shape
    rank = down.shape[0] if down.ndim == 2 else 0
    if rank and down.shape == (rank, in_features) and up.shape == (out_features, rank):
        return
    shapes = " and ".join("x".join(map(str, x.shape)) for x in (down, up))
    raise _unfit(f"{fqn} is {out_features}x{in_features}, its halves are {shapes}", file)


def _unfit(what: str, file: Path) -> RequestError:
    return RequestError(
        "the LoRA does not fit the transformer",
        cause=f"{file}: {what}",
        next_step="Use one that was trained for this model, or download it again.",
    )


def _notes(
    file: Path, layers: Mapping[str, LayerKeys], config: Mapping[str, Any]
) -> tuple[str, ...]:
    """PEFT's weights have no alpha of their own, and its default is not the rank."""
    first = next(iter(layers.values())).keys
    if first["down"].startswith("base_model.") and "lora_alpha" not in config:
        return (f"{file.name} has no {ADAPTER_CONFIG} beside it: alpha is taken to be the rank",)
    return ()
