"""Refuses what only looks like the weights of a model: a LoRA, and what is quantized already."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.lora import ADAPTER_CONFIG, ADAPTER_FILES
from pixart_tui.engine.loading.weights import TensorHeader

_ADAPTER_KEY: Final = re.compile(r"\.base_layer\.|\blora_|_lora\.|\.lora\.|\.(hada|lokr)_")
_UNQUANTIZED: Final = (
    "Use the checkpoint that it was made from: quantizing is measured on whole weights."
)


def refuse_adapter(folder: Path) -> None:
    """Refuses a folder that holds a LoRA in place of a model.

    Raises:
        RequestError: It does.
    """
    for name in _adapter_files(folder):
        raise RequestError(
            "this is a LoRA and not a model",
            cause=f"{folder} holds {name}, and no model beside it",
            next_step=f"Name the model that it was trained for with --model, and --lora {folder}",
        )


def stray_adapters(directory: Path) -> Iterator[str]:
    """Yields a note for each LoRA that lies beside a model and is not used."""
    for folder in (directory, directory / "transformer"):
        for name in _adapter_files(folder):
            yield f"{name} beside the model is not used: --lora {folder} merges it"
            break


def _adapter_files(folder: Path) -> Iterator[str]:
    return (name for name in (*ADAPTER_FILES, ADAPTER_CONFIG) if (folder / name).is_file())


def refuse_quantized_config(file: Path, component: str, config: Mapping[str, Any]) -> None:
    """Refuses a component whose configuration says that its weights are quantized.

    Raises:
        RequestError: It does.
    """
    stated = config.get("quantization_config")
    if not stated:
        return
    method = stated.get("quant_method") if isinstance(stated, Mapping) else None
    raise RequestError(
        f"the {component} is quantized already",
        cause=f"{file} has a quantization_config{f' of {method}' if method else ''}"[:300],
        next_step=_UNQUANTIZED,
    )


def refuse_weights(file: Path, component: str, headers: Mapping[str, TensorHeader]) -> None:
    """Refuses weights that are quantized, or that hold a LoRA that is not merged.

    Raises:
        RequestError: They are or do.
    """
    for key, header in headers.items():
        if _ADAPTER_KEY.search(key):
            raise RequestError(
                f"the {component} holds a LoRA that is not merged",
                cause=f"{file}: {key}",
                next_step="Save it merged (peft: merge_and_unload), or pass the plain model with "
                "--model and the LoRA with --lora.",
            )
        if header.is_narrow:
            raise RequestError(
                f"the {component} is quantized already",
                cause=f"{file}: {key} is {header.dtype}",
                next_step=_UNQUANTIZED,
            )
