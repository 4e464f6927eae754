"""An export that needs the weights: a quantized checkpoint, written beside and put in its place."""

from __future__ import annotations

import filecmp
from errno import EEXIST
from pathlib import Path

import torch

from pixart_tui.domain.events import ArtifactWritten, StageChanged
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.files import sidecar
from pixart_tui.domain.files.exporting.formats import CHECKPOINT_RECORD
from pixart_tui.domain.requests import ExportRequest
from pixart_tui.engine.exporting.checkpoint import (
    CONFIG,
    check_same_model,
    quantize_for_checkpoint,
    save_checkpoint,
)
from pixart_tui.engine.loading import load_asked
from pixart_tui.runs.beside import folder_beside
from pixart_tui.runs.files import telling, write_atomically
from pixart_tui.worker.context import Check, Emit


def run_export(request: ExportRequest, emit: Emit, check: Check) -> None:
    """Loads, quantizes, writes.

    Raises:
        RequestError: Another model, or a layer that cannot be quantized on this device.
        WorkError: The directory cannot be written.
    """
    emit(StageChanged(stage=Stage.LOADING, detail=request.model_words))
    dtype, device = getattr(torch, request.dtype), torch.device(request.device)
    loaded = load_asked(request, dtype=dtype, device=device)
    check_same_model(loaded, request.record.conditions.model_fingerprint)
    check()
    chosen = request.record.selection
    emit(StageChanged(stage=Stage.QUANTIZING, detail=f"{len(chosen.chosen)} layers"))
    quantize_for_checkpoint(loaded, chosen.assignments)
    check()
    emit(StageChanged(stage=Stage.WRITING, detail=request.output))
    output = Path(request.output)
    with telling(output):
        _write(loaded.pipeline.transformer, request, output)
    emit(ArtifactWritten(role=Role.EXPORT, path=str(output)))


def _write(transformer: torch.nn.Module, request: ExportRequest, output: Path) -> None:
    """Nothing of it is there until all of it is."""
    output.parent.mkdir(parents=True, exist_ok=True)
    # A folder that is there may be a link or a mounted disk: it is filled, and stays.
    with folder_beside(output / CHECKPOINT_RECORD if output.is_dir() else output) as folder:
        save_checkpoint(transformer, folder)
        write_atomically(folder / CHECKPOINT_RECORD, sidecar.render(request.record))
        if output.is_dir():
            _fill(output, folder)
        else:
            folder.replace(output)


def _fill(output: Path, folder: Path) -> None:
    """Moves a folder's files into another, which may hold what a killed attempt moved there."""
    files = sorted(folder.iterdir(), key=lambda file: file.name == CONFIG)
    for file in files:
        there = output / file.name
        if there.exists() and not filecmp.cmp(file, there, shallow=False):
            raise FileExistsError(EEXIST, f"{file.name} is there already")
    for file in files:
        file.replace(output / file.name)
