"""Memory of a profile: what is not needed any more is given back."""

from __future__ import annotations

import gc

import torch

from pixart_tui.engine.typing import Pipeline


def release_text_encoder(pipeline: Pipeline) -> None:
    """Frees the pipeline's text encoder (T5-XXL: 9 GiB in bfloat16) once all prompts are encoded.

    It is freed and not moved to the CPU: nothing needs it again.
    """
    pipeline.text_encoder = None
    free_unused()


def free_unused() -> None:
    """Gives the memory of dead tensors back to the GPU, where torch would keep it for itself."""
    gc.collect()
    torch.cuda.empty_cache()
