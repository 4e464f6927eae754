"""A verification: the engine's events into the journal, the verified selection into files."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pixart_tui.domain.events import (
    ArtifactWritten,
    JointMeasured,
    StageChanged,
    VerifyFinished,
    VerifyPlanned,
)
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.files.selection_files import selection_files
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import VerifyRequest
from pixart_tui.engine.pixels import ImagePair
from pixart_tui.engine.sensitivity.rendering import Sample
from pixart_tui.engine.verification.verifying import samples_of, verify_selection
from pixart_tui.runs.files import write_with_companion
from pixart_tui.runs.results.profile_files import read_profile_file
from pixart_tui.runs.results.step_effects import read_step_effects
from pixart_tui.runs.run import Run
from pixart_tui.worker.context import Check, Emit
from pixart_tui.worker.jobs.artifacts import PairPictures
from pixart_tui.worker.jobs.resume_check import refuse_another

_KEPT_PAIRS: Final = 16


def run_verify(run: Run, request: VerifyRequest, emit: Emit, check: Check) -> None:
    """Measures what the journal does not hold yet, then writes the selection.

    Raises:
        RequestError: A profile cannot be read, or the journal was measured on something else.
        WorkError: No selection holds the budget, or the files cannot be written.
    """
    paths = [Path(path) for path in request.profiles]
    profiles = [read_profile_file(path) for path in paths]
    before = run.snapshot.verification.plan
    made: list[ImagePair] = []
    events = verify_selection(
        request,
        profiles,
        effects=read_step_effects(paths),
        trials=tuple(run.snapshot.verification.trials),
        check=check,
        keep=made.append,
    )
    for event in events:
        check()
        if isinstance(event, VerifyPlanned):
            refuse_another(before, event, "pixart-tui select PROFILE --verify")
        if isinstance(event, JointMeasured) and made:
            _keep(run, made, emit)
        emit(event)
        if isinstance(event, VerifyFinished):
            _write(profiles, request, event, emit)


def _keep(run: Run, made: list[ImagePair], emit: Emit) -> None:
    """Keeps the first images of the report, before the event of what was measured on them."""
    assert run.snapshot.verification.plan is not None
    kept = samples_of(run.snapshot.verification.plan.reporting)[:_KEPT_PAIRS]
    pictures = PairPictures(run, emit, Role.SELECTION_IMAGE)
    for pair in made:
        sample = Sample(pair.comparison.prompt, pair.comparison.seed)
        if sample in kept:
            pictures.keep_pair(kept.index(sample), pair)
    made.clear()


def _write(
    profiles: list[Profile], request: VerifyRequest, found: VerifyFinished, emit: Emit
) -> None:
    output = Path(request.output)
    emit(StageChanged(stage=Stage.WRITING, detail=str(output)))
    names = [Path(path).name for path in request.profiles]
    text, meta = selection_files(profiles, found.selection, names, found.verification)
    beside = Path(onediff_file.sidecar_path(output))
    for path in write_with_companion(output, text, beside, meta):
        role = Role.SELECTION if path == output else Role.SIDECAR
        emit(ArtifactWritten(role=role, path=str(path)))
