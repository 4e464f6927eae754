"""Watching a run until it ends, in the way that was asked for."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

from pixart_tui.cli.display.dashboard import open_dashboard
from pixart_tui.cli.display.writing import leave_closed_pipe, say
from pixart_tui.cli.options.common import is_interactive
from pixart_tui.domain.errors import CancelledError, PixartTuiError, RequestError, WorkError
from pixart_tui.runs.files import descriptor_of, write_atomically
from pixart_tui.runs.process.control import cancel
from pixart_tui.runs.run import Run, RunState

_POLL_S: Final = 0.2


def follow(run: Run, display: str) -> int:
    """Watches a run to its end and returns the exit code of its outcome.

    Ctrl-C in a plain display cancels the run; leaving the dashboard does not.

    Raises:
        PixartTuiError: The run failed, or its worker died.
        CancelledError: It was cancelled.
    """
    chosen = _choose(display)
    if chosen == "tui":
        return _in_dashboard(run)
    try:
        _watch(run, chosen)
    except BrokenPipeError:
        return leave_closed_pipe()
    except KeyboardInterrupt:
        run.poll()
        if not run.state().is_finished:
            cancel(run)
    try:
        return finish(run, quiet=chosen in ("json", "none"))
    except BrokenPipeError:
        return leave_closed_pipe()


def pass_on(run: Run, asked: str | None) -> None:
    """Writes a finished run's file to what this command has open, which its worker has not."""
    made = run.record.request.output if run.record else None
    if asked and made and asked != made and run.state() is RunState.DONE:
        write_atomically(Path(asked), Path(made).read_bytes())


def refuse_detached(output: str) -> None:
    """Refuses an output that is gone once the command returns.

    Raises:
        RequestError: It is one, as /dev/stdout is.
    """
    if descriptor_of(Path(output)) is not None:
        raise RequestError(
            f"--detach does not go with {output}",
            cause="it is open only while this command runs",
            next_step="name a file",
        )


def finish(run: Run, *, quiet: bool = False) -> int:
    """Prints what an ended run found and returns 0, or raises what ended it."""
    run.poll()
    state = run.state()
    if run.damage:
        say(f"warning: {run.damage}; pixart-tui resume {run.id} measures it again", err=True)
    if not quiet:
        # Here and below: the dashboard opens without loading what draws tables and bars.
        from pixart_tui.cli.display.tables import print_outcome

        print_outcome(run)
    if state is RunState.DONE:
        return 0
    raise _error_of(run, state)


def _choose(display: str) -> str:
    if display == "auto":
        return "tui" if is_interactive() else "plain"
    if display == "tui" and not is_interactive():
        raise RequestError(
            "--display tui needs a terminal",
            cause="standard input or output is not one",
            next_step="use --display plain or --display json",
        )
    return display


def _in_dashboard(run: Run) -> int:
    open_dashboard([run.id])
    run.poll()
    if run.state().is_finished:
        return finish(run)
    return going_on(run)


def going_on(run: Run) -> int:
    """Says how to come back to a run that is not done."""
    say(f"run {run.id} goes on; come back with: pixart-tui attach {run.id}", err=True)
    return 0


def _watch(run: Run, display: str) -> None:
    if display == "json":
        from pixart_tui.cli.display.json_lines import stream_json

        stream_json(run)
    elif display == "plain":
        from pixart_tui.cli.display.plain import show_progress

        show_progress(run)
    else:
        wait(run)


def wait(run: Run) -> None:
    """Returns once a run has ended."""
    while run.poll() or not run.state().is_finished:
        time.sleep(_POLL_S)


def _error_of(run: Run, state: RunState) -> PixartTuiError | CancelledError:
    if state is RunState.CANCELLED:
        again = f"go on with: pixart-tui resume {run.id}"
        return CancelledError(f"run {run.id} was cancelled", next_step=again)
    failure = run.trouble()
    return failure.as_error() if failure else WorkError(f"run {run.id} is {state}")
