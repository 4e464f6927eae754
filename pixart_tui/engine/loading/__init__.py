"""Loading a PixArt pipeline: embedded, directory, Hub, synthetic. Imports ``quant``."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.model_paths import model_path
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.requests import SamplingRequest
from pixart_tui.engine.loading.directory import load_directory, move_to
from pixart_tui.engine.loading.embedded import EMBEDDED_NAME, embedded_directory
from pixart_tui.engine.loading.hub import fetch
from pixart_tui.engine.loading.loaded import CallDefaults, LoadedPipeline
from pixart_tui.engine.loading.lora import merge_lora
from pixart_tui.engine.loading.synthetic import SYNTHETIC_PREFIX, build_synthetic
from pixart_tui.engine.loading.weight_files import no_variant

__all__ = ["CallDefaults", "LoadedPipeline", "load_asked", "load_pipeline"]

_HUB_ID: Final = re.compile(r"^[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*$")


def load_pipeline(
    model: str,
    *,
    dtype: torch.dtype,
    device: torch.device,
    variant: str = "",
    lora: Lora | None = None,
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
            files; empty for those without a name, and where there are none for any that there are.
        lora: Merged into the transformer's weights; None for none.
        local_files_only: Never ask the Hugging Face Hub, only its cache on this machine.

    Returns:
        The pipeline, in evaluation mode, without progress bars, and what is known about it.

    Raises:
        RequestError: The model is not there, is not a PixArt that diffusers implements, or its
            files are damaged or do not fit together; or the LoRA does not fit it.
    """
    if model.startswith(SYNTHETIC_PREFIX):
        if variant:
            raise no_variant(model, variant)
        loaded = build_synthetic(model, dtype, device)
        return loaded if lora is None else _with_lora(loaded, lora)
    directory = _locate(model, variant, local_files_only)
    if lora is None:
        return load_directory(directory, model, dtype, device, variant)
    # In float32 first: what is merged into rounded weights would be rounded twice.
    cpu = torch.device("cpu")
    loaded = load_directory(directory, model, dtype, cpu, variant, transformer_dtype=torch.float32)
    loaded = _with_lora(loaded, lora)
    for parameter in loaded.pipeline.transformer.parameters():
        # Not the module: from_pretrained leaves its positions in float32.
        parameter.data = parameter.data.to(dtype)
    move_to(loaded.pipeline, directory, device)
    return loaded


def load_asked(
    asked: SamplingRequest | Conditions, *, dtype: torch.dtype, device: torch.device
) -> LoadedPipeline:
    """Load the model that a request asks for, or that a profile was measured on.

    Args:
        asked: It names the model, the variant and the LoRA.
        dtype: Floating-point type of the weights.
        device: Where the weights go.

    Raises:
        RequestError: As of :func:`load_pipeline`.
    """
    return load_pipeline(
        asked.model, dtype=dtype, device=device, variant=asked.variant, lora=asked.lora
    )


def _with_lora(loaded: LoadedPipeline, lora: Lora) -> LoadedPipeline:
    merged = merge_lora(loaded.pipeline.transformer, lora)
    fingerprint = merged.fingerprint(loaded.fingerprint, lora)
    return replace(loaded, fingerprint=fingerprint, notes=(*loaded.notes, *merged.notes))


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
