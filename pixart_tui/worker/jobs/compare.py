"""A comparison: pairs of images and what differs, then all of it in one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from PIL.Image import Image

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import (
    ArtifactWritten,
    ComparePlanned,
    ImagesCompared,
    StageChanged,
)
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.profiles.image_metrics import image_similarity
from pixart_tui.domain.requests import CompareRequest
from pixart_tui.engine.verification.picturing import Pictured, picture_selection
from pixart_tui.runs.results.pairs import pairs_of
from pixart_tui.runs.results.pictures import (
    PICTURE_SIDE,
    SideBySide,
    read_image,
    side_by_side,
    write_image,
)
from pixart_tui.runs.run import Run
from pixart_tui.worker.context import Check, Emit
from pixart_tui.worker.jobs.artifacts import PairPictures
from pixart_tui.worker.jobs.resume_check import refuse_another

_SIDE: Final = 2048
"""Pixels of the longer side: these pictures are what the run is for."""

_ROWS: Final = 16
"""Pairs in the one picture of all; the others stand in the run's directory."""


def run_compare(run: Run, request: CompareRequest, emit: Emit, check: Check) -> None:
    """Makes the pairs that the journal does not hold yet, then the picture of all.

    Raises:
        RequestError: The request does not fit the model or the device, or the journal is of
            another model.
        WorkError: No image is finite, or the picture cannot be written.
    """
    before = run.snapshot.comparison.plan
    pictures = PairPictures(run, emit, Role.QUANTIZED_IMAGE, _SIDE)
    for event in picture_selection(request, known=_complete(run), check=check):
        check()
        if isinstance(event, Pictured):
            _take(run, pictures, event, emit)
            continue
        if isinstance(event, ComparePlanned):
            refuse_another(before, event, "pixart-tui compare")
        emit(event)
    _write(run, request, emit)


def _complete(run: Run) -> tuple[tuple[str, int], ...]:
    """Prompt and seed of the pairs that are compared and whose pictures are there."""
    pairs = pairs_of(run.snapshot, run.paths.directory)
    there = {(x.prompt, x.seed) for x in pairs if x.image.exists() and x.reference.exists()}
    compared = run.snapshot.comparison.pairs.items()
    return tuple(key for key, found in compared if found.similarity is None or key in there)


def _take(run: Run, pictures: PairPictures, made: Pictured, emit: Emit) -> None:
    """Keeps a pair and its similarity.

    Raises:
        WorkError: A picture cannot be kept: the picture of all would lack it without a word.
    """
    prompt, seed = made.comparison.prompt, made.comparison.seed
    found = None
    if made.pair is not None:
        found = image_similarity(made.pair.image, made.pair.reference)
        if reason := pictures.keep_pair(made.number, made.pair):
            raise WorkError(
                f"the pictures of pair {made.number + 1} could not be kept",
                cause=reason,
                next_step=f"resume it: pixart-tui resume {run.id}",
            )
    if (prompt, seed) not in run.snapshot.comparison.pairs:
        emit(ImagesCompared(prompt=prompt, seed=seed, similarity=found))


def _sheet(run: Run, request: CompareRequest) -> Image:
    """The first pairs, below each other; each has its pictures, or the run had failed."""
    pairs = pairs_of(run.snapshot, run.paths.directory)
    assert run.snapshot.comparison.plan is not None
    layers = len(run.snapshot.comparison.plan.layers)
    titles = ("unquantized", f"{request.quant_type}, {layers} layer{'s' if layers > 1 else ''}")
    rows = [
        SideBySide(
            read_image(pair.image),
            read_image(pair.reference),
            f"{pair.figures}  seed {pair.seed}: {pair.prompt}",
        )
        for pair in pairs[:_ROWS]
    ]
    return side_by_side(rows, titles, _SIDE if len(rows) == 1 else PICTURE_SIDE)


def _write(run: Run, request: CompareRequest, emit: Emit) -> None:
    output = Path(request.output)
    emit(StageChanged(stage=Stage.WRITING, detail=str(output)))
    if all(found.similarity is None for found in run.snapshot.comparison.pairs.values()):
        raise WorkError("every image holds NaN or infinity", next_step="quantize fewer layers")
    sheet = _sheet(run, request)
    write_image(output, sheet)
    emit(ArtifactWritten(role=Role.SIDE_BY_SIDE, path=str(output)))
