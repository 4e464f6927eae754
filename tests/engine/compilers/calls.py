"""Calls of the tiny pipeline, small and always the same."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pixart_tui.engine.loading import load_pipeline


def loaded_on(device: torch.device) -> Any:
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    return load_pipeline("synthetic:alpha-tiny", dtype=dtype, device=device).pipeline


def image_of(pipeline: Any, height: int, width: int, tokens: int = 16) -> Tensor:
    """(1, height, width, 3), in [0, 1]."""
    images = pipeline(
        "a red apple",
        num_inference_steps=2,
        height=height,
        width=width,
        max_sequence_length=tokens,
        generator=torch.Generator().manual_seed(0),
        clean_caption=False,
        use_resolution_binning=False,
        output_type="np",
    ).images
    return torch.from_numpy(images)
