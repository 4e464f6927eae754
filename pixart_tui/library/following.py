"""Following a run of a worker from Python."""

from __future__ import annotations

import time

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.requests import AnyRequest
from pixart_tui.library.profiling import OnEvent
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.journal import JournalReader
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.run import Run, RunState

_POLL_S = 0.2


def carry_out(request: AnyRequest, on_event: OnEvent | None) -> Run:
    """Starts a run, follows it to its end and returns it; giving up cancels it.

    Args:
        request: What is asked for.
        on_event: Called with each event; it may raise to give up.

    Raises:
        RequestError: The run failed by what was asked.
        WorkError: It failed otherwise, or was cancelled.
    """
    run = create_run(request)
    start_worker(run)
    try:
        _follow(run, on_event or (lambda _event: None))
    except BaseException:
        if not run.state().is_finished:
            cancel(run)
        raise
    if run.state() is RunState.DONE:
        return run
    failure = run.trouble()
    if failure is None:
        raise WorkError(
            f"run {run.id} is {run.state()}", next_step=f"see: pixart-tui logs {run.id}"
        )
    raise failure.as_error()


def _follow(run: Run, told: OnEvent) -> None:
    reader = JournalReader(run.paths.events)
    finished = False
    while not finished:
        time.sleep(_POLL_S)
        run.poll()
        finished = run.state().is_finished
        while entries := reader.poll():
            for entry in entries:
                told(entry.event)
