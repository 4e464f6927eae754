"""An export that needs the weights: a quantized checkpoint, written beside and put in its place."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import torch

from pixart_tui.domain import sidecar
from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import ArtifactWritten, StageChanged
from pixart_tui.domain.requests import ExportRequest
from pixart_tui.engine.exporting.checkpoint import (
    check_same_model,
    quantize_for_checkpoint,
    save_checkpoint,
)
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.worker.attempt import Check, Emit

RECORD = "pixart_tui.meta.json"


def run_export(request: ExportRequest, emit: Emit, check: Check) -> None:
    """Loads, quantizes, writes.

    Raises:
        RequestError: Another model, or a layer that cannot be quantized on this device.
        WorkError: The directory cannot be written.
    """
    emit(StageChanged(stage="loading", detail=request.model))
    dtype, device = getattr(torch, request.dtype), torch.device(request.device)
    loaded = load_pipeline(request.model, dtype=dtype, device=device)
    check_same_model(loaded, request.record.conditions.model_fingerprint)
    check()
    chosen = request.record.selection
    emit(StageChanged(stage="quantizing", detail=f"{len(chosen.chosen)} layers"))
    quantize_for_checkpoint(loaded, chosen.assignments)
    check()
    emit(StageChanged(stage="writing", detail=request.output))
    output = Path(request.output)
    try:
        _write(loaded.pipeline.transformer, request, output)
    except OSError as error:
        cause = error.strerror or str(error)
        raise WorkError(f"{output} could not be written", cause, "name another place") from error
    emit(ArtifactWritten(role="export", path=str(output)))


def _write(transformer: torch.nn.Module, request: ExportRequest, output: Path) -> None:
    """Nothing of it is there until all of it is."""
    temporary = Path(tempfile.mkdtemp(dir=output.parent, prefix=f".{output.name}."))
    try:
        save_checkpoint(transformer, temporary)
        (temporary / RECORD).write_text(sidecar.render(request.record))
        temporary.chmod(0o755)
        temporary.replace(output)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
