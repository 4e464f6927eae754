"""Loading a PixArt pipeline: embedded, from a directory, from the Hugging Face Hub, synthetic."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading.directory import load_directory
from pixart_tui.engine.loading.embedded import EMBEDDED_NAME, embedded_directory
from pixart_tui.engine.loading.hub import fetch
from pixart_tui.engine.loading.loaded import CallDefaults, LoadedPipeline
from pixart_tui.engine.loading.synthetic import SYNTHETIC_PREFIX, build_synthetic

__all__ = ["CallDefaults", "LoadedPipeline", "load_pipeline"]

_HUB_ID: Final = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def load_pipeline(
    model: str, *, dtype: torch.dtype, device: torch.device, local_files_only: bool = False
) -> LoadedPipeline:
    """Load a PixArt-alpha or PixArt-Sigma pipeline.

    Args:
        model: ``pixart-emoji`` (embedded), a local diffusers directory, a Hugging Face id
            (``org/name``), ``synthetic:alpha`` or ``synthetic:sigma`` (published shapes, random
            weights), or ``synthetic:alpha-tiny`` or ``synthetic:sigma-tiny`` (seconds on a CPU).
            A directory of the name goes before a Hugging Face id.
        dtype: Floating-point type of the weights.
        device: Where the weights go; synthetic models accept ``meta``: shapes without weights.
        local_files_only: Never ask the Hugging Face Hub, only its cache on this machine.

    Returns:
        The pipeline, in evaluation mode, without progress bars, and what is known about it.

    Raises:
        RequestError: The model is not there, is not a PixArt that diffusers implements, or its
            files are damaged or do not fit together.
    """
    if model.startswith(SYNTHETIC_PREFIX):
        return build_synthetic(model, dtype, device)
    return load_directory(_locate(model, local_files_only), model, dtype, device)


def _locate(model: str, local_files_only: bool) -> Path:
    if model == EMBEDDED_NAME:
        return embedded_directory()
    directory = Path(model).expanduser()
    if directory.is_dir():
        return directory
    if _HUB_ID.match(model) and not directory.exists():
        return fetch(model, local_files_only)
    raise RequestError(
        "there is no such model directory",
        f"{directory} is {'not a directory' if directory.exists() else 'not there'}",
        f"Pass a diffusers directory, a Hugging Face id (org/name), {EMBEDDED_NAME} or "
        f"{SYNTHETIC_PREFIX}alpha.",
    )
