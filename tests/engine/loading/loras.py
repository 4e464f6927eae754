"""Makes small LoRA files in the layouts of several trainers."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from pixart_tui.engine.loading import load_pipeline

MODEL: Final = "synthetic:alpha-tiny"
LAYERS: Final = (
    "transformer_blocks.0.attn1.to_q",
    "transformer_blocks.1.attn2.to_out.0",
    "transformer_blocks.1.ff.net.0.proj",
    "caption_projection.linear_1",
    "adaln_single.linear",
    "proj_out",
)

Halves = Mapping[str, tuple[Tensor, Tensor]]
"""Layer to A of (rank, in) and B of (out, rank)."""


def linears(model: str = MODEL) -> dict[str, nn.Linear]:
    """The linear layers of a model's transformer."""
    loaded = load_pipeline(model, dtype=torch.float32, device=torch.device("cpu"))
    modules = loaded.pipeline.transformer.named_modules()
    return {name: x for name, x in modules if isinstance(x, nn.Linear)}


def random_halves(rank: int = 4, layers: Sequence[str] = LAYERS, model: str = MODEL) -> Halves:
    """Halves of the size of the layers, the same for the same arguments."""
    generator = torch.Generator().manual_seed(rank)
    found = linears(model)
    return {
        name: (
            torch.randn(rank, found[name].in_features, generator=generator) / 10,
            torch.randn(found[name].out_features, rank, generator=generator) / 10,
        )
        for name in layers
    }


def named(halves: Halves, down: str, up: str, *, joined: bool = False) -> dict[str, Tensor]:
    """The tensors under names such as ``transformer.{}.lora_A.weight``."""
    tensors = {}
    for name, (a, b) in halves.items():
        spelled = name.replace(".", "_") if joined else name
        tensors[down.format(spelled)] = a
        tensors[up.format(spelled)] = b
    return tensors


def diffusers_file(path: Path, halves: Halves, **metadata: Any) -> Path:
    """A file as diffusers writes it, with PEFT's configuration in its header."""
    tensors = named(halves, "transformer.{}.lora_A.weight", "transformer.{}.lora_B.weight")
    stated = {f"transformer.{key}": value for key, value in metadata.items()}
    header = {"lora_adapter_metadata": json.dumps(stated)} if stated else None
    save_file(tensors, path, metadata=header)
    return path


def peft_folder(folder: Path, halves: Halves, **config: Any) -> Path:
    """A folder as PEFT writes it."""
    folder.mkdir()
    a, b = "base_model.model.{}.lora_A.weight", "base_model.model.{}.lora_B.weight"
    save_file(named(halves, a, b), folder / "adapter_model.safetensors")
    if config:
        (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder
