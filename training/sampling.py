"""Draw pictures with the pipeline the way its model card says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import PixArtAlphaPipeline
from torch import Tensor

from training.architecture import LATENT_CHANNELS, LATENT_SIZE

DEFAULT_MODEL = Path("pixart_tui/assets/pixart-emoji")


def load_pipeline(
    folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> PixArtAlphaPipeline:
    """Load the pipeline quietly."""
    pipeline = PixArtAlphaPipeline.from_pretrained(folder, torch_dtype=dtype).to(device)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def default_call(folder: Path) -> dict[str, Any]:
    """Return the call settings that the model ships with."""
    settings: dict[str, Any] = json.loads((folder / "pixart_tui.json").read_text())
    return settings


def initial_noise(count: int, seed: int) -> Tensor:
    """Return float32 noise that does not depend on how samples are batched."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, LATENT_CHANNELS, LATENT_SIZE, LATENT_SIZE, generator=generator)


def draw(
    pipeline: PixArtAlphaPipeline, prompts: Sequence[str], noise: Tensor, **settings: Any
) -> Tensor:
    """Return pictures of shape (count, 3, height, width) in 0..1, in float32 on the CPU."""
    result = pipeline(
        list(prompts),
        latents=noise.to(pipeline.device, pipeline.dtype),
        clean_caption=False,
        use_resolution_binning=False,
        output_type="pt",
        **settings,
    )
    images: Tensor = result.images.float().cpu()
    return images


def draw_many(
    pipeline: PixArtAlphaPipeline,
    prompts: Sequence[str],
    noise: Tensor,
    batch: int = 16,
    **settings: Any,
) -> Tensor:
    """Draw many prompts in batches."""
    starts = range(0, len(prompts), batch)
    parts = [
        draw(pipeline, prompts[at : at + batch], noise[at : at + batch], **settings)
        for at in starts
    ]
    return torch.cat(parts)
