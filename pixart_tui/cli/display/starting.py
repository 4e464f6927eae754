"""Starting a run from a command, and following it."""

from __future__ import annotations

from pixart_tui.cli.display.follow import follow, pass_on, refuse_detached
from pixart_tui.cli.display.writing import say
from pixart_tui.domain.errors import CancelledError
from pixart_tui.domain.requests import AnyRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.run import Run


def start(request: AnyRequest) -> Run:
    """Makes a run and starts its worker; Ctrl-C meanwhile cancels the run, and says which.

    Raises:
        WorkError: The run cannot be written, or its worker did not start.
        CancelledError: The user gave up.
    """
    run = create_run(request)
    try:
        start_worker(run)
    except KeyboardInterrupt:
        # First, as another Ctrl-C may come before the worker has stopped.
        say(f"canceling run {run.id}", err=True)
        run.poll()
        if not run.state().is_finished:
            cancel(run)
        again = f"go on with: pixart-tui resume {run.id}"
        raise CancelledError(f"run {run.id} was cancelled", next_step=again) from None
    return run


def carry_out(request: AnyRequest, display: str, *, detach: bool = False) -> tuple[Run, int]:
    """Starts a run and watches it to its end, or prints its id where it is left alone.

    Args:
        request: What is asked for.
        display: How it is watched.
        detach: Whether to return once the worker works.

    Returns:
        The run, and the exit code.

    Raises:
        RequestError: Its output is gone once the command returns.
        PixartTuiError: It failed.
        CancelledError: It was cancelled.
    """
    if detach:
        refuse_detached(request.output or "")
    run = start(request)
    if detach:
        say(run.id)
        return run, 0
    code = follow(run, display)
    pass_on(run, request.output)
    return run, code
