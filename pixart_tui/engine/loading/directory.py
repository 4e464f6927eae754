"""Loading a local diffusers directory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import torch

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.engine.loading.checks import CheckedDirectory, check_directory
from pixart_tui.engine.loading.config_files import brief
from pixart_tui.engine.loading.fingerprint import fingerprint_files
from pixart_tui.engine.loading.libraries import (
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    warnings_to_log,
)
from pixart_tui.engine.loading.loaded import LoadedPipeline, read_defaults, stock_defaults
from pixart_tui.engine.loading.standard_view import standard_view
from pixart_tui.engine.typing import Pipeline

_LOG = logging.getLogger(__name__)


def load_directory(
    directory: Path,
    name: str,
    dtype: torch.dtype,
    device: torch.device,
    variant: str = "",
    *,
    transformer_dtype: torch.dtype | None = None,
) -> LoadedPipeline:
    """Check a model directory, then load it.

    Args:
        directory: A directory in diffusers' layout.
        name: The model as the user asked for it.
        dtype: Floating-point type of the weights.
        device: Where the weights go.
        variant: Which weight files; empty for those without a name.
        transformer_dtype: That of the transformer's weights, None for ``dtype``.

    Raises:
        RequestError: The directory is not a PixArt that can be loaded.
        WorkError: The device has too little memory.
    """
    try:
        checked = check_directory(directory, variant)
        fingerprint = fingerprint_files(directory, _identifying_files(checked))
    except OSError as error:
        raise RequestError(
            "a file of the model cannot be read",
            cause=f"{directory}: {brief(error)}",
            next_step="Check the permissions and the disk.",
        ) from error
    dtypes = {"transformer": transformer_dtype or dtype, "default": dtype}
    pipeline = _load(checked, dtypes)
    move_to(pipeline, directory, device)
    return LoadedPipeline(
        pipeline=pipeline,
        name=name,
        source=str(directory),
        family=checked.family,
        fingerprint=fingerprint,
        defaults=read_defaults(directory, stock_defaults(pipeline, checked.family)),
        notes=checked.notes,
    )


def move_to(pipeline: Pipeline, directory: Path, device: torch.device) -> None:
    """Moves a pipeline to a device.

    Raises:
        WorkError: The device has too little memory.
    """
    try:
        with warnings_to_log():
            pipeline.to(device)
    except torch.OutOfMemoryError as error:
        raise WorkError(
            "the model does not fit into the device's memory",
            cause=f"{directory} on {device}: {brief(error)}",
            next_step="Choose a smaller dtype or another device.",
        ) from error


def _load(checked: CheckedDirectory, dtypes: dict[str, torch.dtype]) -> Pipeline:
    stock = PixArtAlphaPipeline if checked.family == "alpha" else PixArtSigmaPipeline
    try:
        with warnings_to_log(), standard_view(checked) as view:
            pipeline = stock.from_pretrained(str(view), dtype=dtypes, local_files_only=True)
    except ImportError as error:
        raise RequestError(
            "the model needs a package that is not installed",
            cause=f"{checked.path}: {brief(error)}",
            next_step="Install that package, or use a model with another scheduler.",
        ) from error
    except Exception as error:
        _LOG.debug("loading %s failed", checked.path, exc_info=True)
        raise RequestError(
            "the model cannot be loaded",
            cause=f"{checked.path}: {brief(error)}",
            next_step="Download the model again, or look into the log for the whole error.",
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def _identifying_files(checked: CheckedDirectory) -> Iterator[Path]:
    for component, weights in checked.weights.items():
        yield checked.path / component / "config.json"
        yield from weights.shards
        if weights.index is not None:
            yield weights.index
