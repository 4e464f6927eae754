"""A quantized transformer as a diffusers checkpoint that plain ``from_pretrained`` loads."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from diffusers import TorchAoConfig
from diffusers.quantizers import DiffusersAutoQuantizer

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.values import parse_json
from pixart_tui.engine.exporting.torchao_config import fqn_to_config
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.execution import Execution

CONFIG: Final = "config.json"


def quantize_for_checkpoint(loaded: LoadedPipeline, assignments: Mapping[str, str]) -> None:
    """Quantizes a pipeline's transformer as deployment does, and marks it as diffusers would.

    Raises:
        RequestError: The model has no such layer, or the weights cannot be quantized here.
        WorkError: torchao cannot quantize a weight on this device.
    """
    transformer = loaded.pipeline.transformer
    quant_types = {fqn: parse_quant_type(name) for fqn, name in assignments.items()}
    quantize_layers(transformer, quant_types, execution=Execution.REAL)
    config = TorchAoConfig(fqn_to_config(assignments))
    quantizer = DiffusersAutoQuantizer.from_config(config, pre_quantized=True)
    quantizer.validate_environment()
    transformer.register_to_config(quantization_config=config)
    if "_name_or_path" in transformer.config:
        # Else the directory that this package is installed in, or the Hub's cache.
        transformer.register_to_config(_name_or_path=loaded.name)
    transformer.hf_quantizer = quantizer


def save_checkpoint(transformer: Any, directory: Path) -> None:
    """Writes ``config.json`` and the weights: the same bytes for the same weights."""
    transformer.save_pretrained(str(directory))
    mode = stat.S_IMODE((directory / CONFIG).stat().st_mode)
    for weights in sorted(directory.glob("*.safetensors")):
        _sort_header(weights)
        # safetensors makes its files for their owner alone, whatever the umask is.
        weights.chmod(mode)


def _sort_header(weights: Path) -> None:
    """Puts the keys of the header in order: safetensors writes its metadata in a random one."""
    with weights.open("r+b") as file:
        length = int.from_bytes(file.read(8), "little")
        header = parse_json(file.read(length))
        header["__metadata__"] = dict(sorted(header.get("__metadata__", {}).items()))
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
        if len(text) > length:
            raise WorkError(
                f"the header of {weights.name} cannot be put in order", cause="it grows"
            )
        file.seek(8)
        file.write(text.ljust(length))
        file.flush()
        os.fsync(file.fileno())


def check_same_model(loaded: LoadedPipeline, fingerprint: str) -> None:
    """Refuses a model that is not the one that was profiled.

    Raises:
        RequestError: It is another one.
    """
    if loaded.fingerprint != fingerprint:
        raise RequestError(
            f"{loaded.name} is not the model that was profiled",
            cause="its weights or configuration differ",
            next_step="name the profiled one with --model, or profile this one",
        )
