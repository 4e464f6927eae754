"""The names of a LoRA's tensors: which layer each belongs to, and what is not supported."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from diffusers.utils.state_dict_utils import convert_unet_state_dict_to_peft

from pixart_tui.domain.errors import RequestError

Part = Literal["down", "up", "alpha"]

_PART: Final = re.compile(
    r"(?P<module>.+)\.(?:"
    r"(?P<down>lora_A(?:\.[\w-]+)?|lora_down|lora_linear_layer\.down)\.weight|"
    r"(?P<up>lora_B(?:\.[\w-]+)?|lora_up|lora_linear_layer\.up)\.weight|"
    r"(?P<alpha>alpha))"
)
_UNSUPPORTED: Final = (
    (re.compile(r"dora_scale|lora_magnitude_vector"), "DoRA"),
    (re.compile(r"\bhada_"), "LoHa"),
    (re.compile(r"\blokr_"), "LoKr"),
    (re.compile(r"lora_mid"), "LoCon on convolutions"),
    (re.compile(r"\b(oft_|boft_|vera_|ia3_)"), "an adapter of another kind than LoRA"),
    (re.compile(r"\blora_embedding_"), "LoRA on embeddings"),
)
_TEXT_ENCODER: Final = re.compile(r"(base_model\.model\.)?text_encoder|lora_te\d?_|lora_t5")
_DOTTED_PREFIX: Final = re.compile(
    r"base_model\.model\.|transformer\.|unet\.|diffusion_model\.|model\.|module\."
)
_JOINED_PREFIX: Final = re.compile(r"(lora_unet|lora_transformer|lycoris)_")
_NAMED: Final = 3
_MERGE_ELSEWHERE: Final = (
    "Merge it into the model with the tool that made it, and pass that model with --model."
)


@dataclass(slots=True)
class LayerKeys:
    """The keys of one layer's tensors in the file, empty where there is none."""

    keys: dict[Part, str] = field(default_factory=dict)


def layers_of(keys: Iterable[str], modules: Iterable[str], where: str) -> dict[str, LayerKeys]:
    """The layers that a LoRA changes, with the keys of their tensors.

    The names are those of PEFT (``base_model.model.X.lora_A.weight``), diffusers
    (``transformer.X.lora_A.weight``), older diffusers (``X.lora.down.weight``,
    ``X.processor.to_q_lora.down.weight``) and kohya (``lora_unet_X.lora_down.weight``, the dots in
    X written as underscores).

    Args:
        keys: The keys of the file.
        modules: Names of the transformer's modules.
        where: The file, for errors.

    Raises:
        RequestError: A key is of the text encoder, of an adapter that is not supported, or matches
            nothing; a tensor is there twice or without its other half.
    """
    known = {name: name for name in modules}
    joined = {name.replace(".", "_"): name for name in known}
    found: dict[str, LayerKeys] = {}
    unmatched: list[str] = []
    spelled: Mapping[str, str] = convert_unet_state_dict_to_peft({key: key for key in keys})
    for name, key in spelled.items():
        _refuse(key, where)
        match = _PART.fullmatch(name)
        fqn = _layer(match["module"], known, joined) if match else None
        if match is None or fqn is None:
            unmatched.append(key)
            continue
        part: Part = "down" if match["down"] else "up" if match["up"] else "alpha"
        layer = found.setdefault(fqn, LayerKeys()).keys
        if part in layer:
            raise _wrong(f"{layer[part]} and {key} are of one layer", where)
        layer[part] = key
    if unmatched or not found:
        raise _unmatched(unmatched, len(spelled), where, sorted(known))
    for fqn, layer_keys in found.items():
        missing = {"down", "up"} - layer_keys.keys.keys()
        if missing:
            there = next(iter(layer_keys.keys.values()))
            raise _wrong(f"{fqn} has {there} and no {missing.pop()} weight", where)
    return found


def _layer(name: str, known: Mapping[str, str], joined: Mapping[str, str]) -> str | None:
    while name not in known and (prefix := _DOTTED_PREFIX.match(name)):
        name = name[prefix.end() :]
    if name in known:
        return name
    prefix = _JOINED_PREFIX.match(name)
    return joined.get(name[prefix.end() :]) if prefix else None


def _refuse(key: str, where: str) -> None:
    if _TEXT_ENCODER.match(key):
        raise RequestError(
            "a LoRA on the text encoder is not supported",
            cause=f"{where}: {key}",
            next_step=_MERGE_ELSEWHERE,
        )
    for pattern, kind in _UNSUPPORTED:
        if pattern.search(key):
            raise unsupported(kind, f"{where}: {key}")


def unsupported(kind: str, cause: str) -> RequestError:
    """The error about an adapter that is no plain LoRA on linear layers."""
    return RequestError(
        f"{kind} is not supported: only LoRA on linear layers is merged",
        cause=cause,
        next_step=_MERGE_ELSEWHERE,
    )


def _wrong(what: str, where: str) -> RequestError:
    return RequestError(
        "the LoRA's tensors do not make pairs",
        cause=f"{where}: {what}",
        next_step="Download or export the LoRA again, with one adapter in the file.",
    )


def _unmatched(keys: list[str], total: int, where: str, modules: list[str]) -> RequestError:
    if not total:
        return RequestError(
            "the LoRA holds no tensors", cause=where, next_step="Name another file with --lora."
        )
    named = ", ".join(keys[:_NAMED]) + (", ..." if len(keys) > _NAMED else "")
    example = next((x for x in modules if x.startswith("transformer_blocks.0.")), "proj_out")
    return RequestError(
        f"{len(keys)} of the LoRA's {total} tensors match no layer of the transformer",
        cause=f"{where}: {named}",
        next_step=f"Use one that was trained for this model, whose layers are named like {example}",
    )
