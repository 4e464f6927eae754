"""Loading a PixArt pipeline: embedded, directory, Hub, synthetic. Imports ``quant``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.model_paths import model_path
from pixart_tui.engine.loading.directory import load_directory
from pixart_tui.engine.loading.embedded import EMBEDDED_NAME, embedded_directory
from pixart_tui.engine.loading.hub import fetch
from pixart_tui.engine.loading.loaded import CallDefaults, LoadedPipeline
from pixart_tui.engine.loading.synthetic import SYNTHETIC_PREFIX, build_synthetic
from pixart_tui.engine.loading.weight_files import no_variant

__all__ = ["CallDefaults", "LoadedPipeline", "load_pipeline"]

_HUB_ID: Final = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def load_pipeline(
    model: str,
    *,
    dtype: torch.dtype,
    device: torch.device,
    variant: str = "",
    local_files_only: bool = False,
) -> LoadedPipeline:
    """Load a PixArt-alpha or PixArt-Sigma pipeline.

    Args:
        model: ``pixart-emoji`` (embedded), a local diffusers directory, a Hugging Face id
            (``org/name``), ``synthetic:alpha`` or ``synthetic:sigma`` (published shapes, random
            weights), or ``synthetic:alpha-tiny`` or ``synthetic:sigma-tiny`` (seconds on a CPU).
            A directory of the name goes before a Hugging Face id.
        dtype: Floating-point type of the weights.
        device: Where the weights go; synthetic models accept ``meta``: shapes without weights.
        variant: Which weight files: ``fp16`` for ``model.fp16.safetensors``, where a part has such
            files; empty for those without a name.
        local_files_only: Never ask the Hugging Face Hub, only its cache on this machine.

    Returns:
        The pipeline, in evaluation mode, without progress bars, and what is known about it.

    Raises:
        RequestError: The model is not there, is not a PixArt that diffusers implements, or its
            files are damaged or do not fit together.
    """
    if model.startswith(SYNTHETIC_PREFIX):
        if variant:
            raise no_variant(model, variant)
        return build_synthetic(model, dtype, device)
    directory = _locate(model, variant, local_files_only)
    return load_directory(directory, model, dtype, device, variant)


def _locate(model: str, variant: str, local_files_only: bool) -> Path:
    if model == EMBEDDED_NAME:
        return embedded_directory()
    directory = model_path(model)
    if directory.is_dir():
        return directory
    if _HUB_ID.match(model) and not directory.exists():
        return fetch(model, variant, local_files_only)
    raise RequestError(
        "there is no such model directory",
        cause=f"{directory} is {'not a directory' if directory.exists() else 'not there'}",
        next_step=f"Pass a diffusers directory, a Hugging Face id (org/name), {EMBEDDED_NAME} or "
        f"{SYNTHETIC_PREFIX}alpha.",
    )
