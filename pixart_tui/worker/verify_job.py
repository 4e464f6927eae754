"""A verification: the engine's events into the journal, the verified selection into files."""

from __future__ import annotations

from pathlib import Path

from pixart_tui.domain import onediff_file
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import (
    ArtifactWritten,
    StageChanged,
    VerifyFinished,
    VerifyPlanned,
)
from pixart_tui.domain.profile import Profile
from pixart_tui.domain.requests import VerifyRequest
from pixart_tui.domain.selection_files import selection_files
from pixart_tui.engine.joint.verifying import verify_selection
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.profile_files import read_profile_file
from pixart_tui.runs.run import Run
from pixart_tui.worker.attempt import Check, Emit


def run_verify(run: Run, request: VerifyRequest, emit: Emit, check: Check) -> None:
    """Measures what the journal does not hold yet, then writes the selection.

    Raises:
        RequestError: A profile cannot be read, or the journal was measured on something else.
        WorkError: No selection holds the budget, or the files cannot be written.
    """
    profiles = [read_profile_file(Path(path)) for path in request.profiles]
    before = run.snapshot.verify_plan
    events = verify_selection(
        request,
        profiles,
        trials=tuple(run.snapshot.trials),
        check=check,
    )
    for event in events:
        check()
        if isinstance(event, VerifyPlanned):
            _refuse_another(before, event)
        emit(event)
        if isinstance(event, VerifyFinished):
            _write(profiles, request, event, emit)


def _refuse_another(before: VerifyPlanned | None, now: VerifyPlanned) -> None:
    """What was measured on different things must never decide about one selection."""
    if before is None or before == now:
        return
    pairs = zip(before, now, strict=True)
    differing = [name for (name, old), (_, new) in pairs if old != new]
    raise RequestError(
        "this run was measured on something else than what is here now",
        "different: " + ", ".join(differing),
        "start a new one with: pixart-tui select PROFILE --verify",
    )


def _write(
    profiles: list[Profile], request: VerifyRequest, found: VerifyFinished, emit: Emit
) -> None:
    output = Path(request.output)
    emit(StageChanged(stage="writing", detail=str(output)))
    names = [Path(path).name for path in request.profiles]
    text, meta = selection_files(profiles, found.selection, names, found.verification)
    beside = Path(onediff_file.sidecar_path(output))
    write_atomically(beside, meta)
    write_atomically(output, text)
    emit(ArtifactWritten(role="sidecar", path=str(beside)))
    emit(ArtifactWritten(role="selection", path=str(output)))
