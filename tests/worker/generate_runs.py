"""Generations in this process, journalled as the worker does it."""

from __future__ import annotations

from collections.abc import Callable

from pixart_tui.domain.events import Event
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.runs.run import Run
from pixart_tui.worker.jobs.generate import run_generate


def nothing() -> None:
    """No check stops the work."""


def new_run(**fields: object) -> Run:
    """A run of a tiny model that draws 64x64 pixels in two steps."""
    common: dict[str, object] = {
        "model": "synthetic:sigma-tiny",
        "prompts": ("owl",),
        "num_inference_steps": 2,
        "warmups": 0,
    }
    return create_run(GenerateRequest.model_validate(common | fields))


def work(run: Run, check: Callable[[], None] = nothing) -> Run:
    """Works on a run and gives it with what its journal says."""
    assert run.record is not None
    assert isinstance(run.record.request, GenerateRequest)
    with JournalWriter(run.paths.events) as journal:

        def emit(event: Event) -> None:
            journal.append(event)

        run_generate(run, run.record.request, emit, check)
    run.poll()
    return run


def generated(**fields: object) -> Run:
    """A run that is done."""
    return work(new_run(**fields))
