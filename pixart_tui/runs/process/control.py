"""Starting, resuming and canceling a run's worker."""

from __future__ import annotations

import errno
import os
import signal
import time
from contextlib import suppress
from typing import Final

from pixart_tui.domain.errors import CancelledError, PixartTuiError, RequestError, WorkError
from pixart_tui.runs.identity import is_alive, is_stopped
from pixart_tui.runs.last_word import outcome_of, say
from pixart_tui.runs.process.device_lock import exclusive_run, own_locks
from pixart_tui.runs.process.launch import Child, launch
from pixart_tui.runs.run import Run, RunState

_PROFILE_ENVIRONMENT: Final = {
    # Threads that spin while they wait make the work several times slower wherever the cores
    # are shared: with the viewer, or with anyone.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Without these glibc gives every large temporary back and page-faults on the next one.
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}
"""Environment of the worker of a profile or a verification, unless the user's own says
otherwise. What measures speed gets nothing: it has to measure what the user would see."""

_TEXT_ENVIRONMENT: Final = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
"""Environment of every worker: logs and files are UTF-8 whatever the viewer's locale is."""

_START_LIMIT_S: Final = 20.0
_CANCEL_GRACE_S: Final = 10.0
_EXIT_LIMIT_S: Final = 30.0
_KILL_GRACE_S: Final = 5.0
_POLL_S: Final = 0.05
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)

ALREADY_WORKED_ON: Final = 75
"""The exit code of a worker that came second."""


def start_worker(run: Run) -> int:
    """Starts a detached worker on a run and returns its pid once it has identified itself.

    The worker has its own session and no pipe to the caller, so neither a hang-up nor the
    caller's death reaches it.

    Raises:
        RequestError: A worker already works on it.
        WorkError: There is no place for locks, or it died before it could say who it is.
    """
    own_locks()
    _refuse_second_worker(run)
    if run.is_gone:
        raise RequestError(f"run {run.id} was deleted", next_step="list: pixart-tui runs")
    attempt = run.next_attempt
    try:
        process = _spawn(run)
    except OSError as error:
        raise _not_started(run, attempt, f"{error.filename}: {error.strerror}") from error
    _wait_until_identified(run, process, attempt)
    return process.pid


def _spawn(run: Run) -> Child:
    run.paths.cancel.unlink(missing_ok=True)
    with run.paths.log.open("ab") as log:
        return launch("pixart_tui.worker", [str(run.paths.directory)], _environment(run), log)


def _environment(run: Run) -> dict[str, str]:
    timed = run.record is None or run.record.request.kind in ("bench", "generate")
    return ({} if timed else _PROFILE_ENVIRONMENT) | os.environ | _TEXT_ENVIRONMENT


def cancel(run: Run, *, force: bool = False) -> None:
    """Asks a run's worker to stop, and signals it if it has not after a while.

    Args:
        run: The run.
        force: Whether to signal it at once, let it go on where it is stopped, and end it if it
            does not listen.

    Raises:
        RequestError: No worker works on it.
        WorkError: It is stopped, or lives on another host and did not stop in time.
    """
    run.poll()
    if run.state().is_finished:
        raise RequestError(
            f"run {run.id} is already {run.state()}", next_step="list: pixart-tui runs"
        )
    asked = _ask(run)
    if force:
        _force(run)
        return
    if asked and _listened(run, _CANCEL_GRACE_S):
        return
    _signal(run, signal.SIGTERM)
    if not _listened(run, _CANCEL_GRACE_S):
        advice = f"at once: pixart-tui cancel {run.id} --force"
        raise WorkError(f"run {run.id} does not stop", next_step=advice)


def _ask(run: Run) -> bool:
    """Leaves the request to stop; tells whether the disk took it."""
    try:
        run.paths.cancel.touch()
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        return False
    return True


def _force(run: Run) -> None:
    # The second one lets a worker go on that is stopped: it then takes in the first.
    _signal(run, signal.SIGTERM, signal.SIGCONT)
    if not _gone_within(run, _KILL_GRACE_S):
        _signal(run, signal.SIGKILL)
        _gone_within(run, _KILL_GRACE_S)
    run.poll()
    if run.state().is_finished and run.state() is not RunState.STALE:
        return
    with exclusive_run(run) as mine:
        if not mine:
            raise WorkError(
                f"run {run.id} does not stop", next_step=f"look: pixart-tui logs {run.id}"
            )
        again = f"go on with: pixart-tui resume {run.id}"
        outcome = outcome_of(CancelledError("cancelled by force", next_step=again))
        say(run.paths.last_word, run.next_attempt - 1, outcome)
    run.poll()


def _refuse_second_worker(run: Run) -> None:
    run.poll()
    deadline = time.monotonic() + _EXIT_LIMIT_S
    while (previous := run.worker()) and is_alive(previous, run.paths.heartbeat):
        # A worker that has said its last word still takes a moment to give its memory back.
        if run.state().is_finished and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            continue
        raise _already_worked_on(run)


def _already_worked_on(run: Run) -> RequestError:
    worker = run.worker()
    cause = f"pid {worker.pid} on {worker.host}" if worker else ""
    if worker is not None and is_stopped(worker):
        cause += ", stopped by a signal"
    advice = f"watch it: pixart-tui attach {run.id}"
    return RequestError(f"run {run.id} already has a worker", cause=cause, next_step=advice)


def _wait_until_identified(run: Run, process: Child, attempt: int) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        worker = run.worker()
        if worker is not None and worker.pid == process.pid:
            return
        if ended:
            break
        time.sleep(_POLL_S)
    process.kill()
    if process.wait() == ALREADY_WORKED_ON:
        raise _already_worked_on(run)
    raise _why_not_started(run, attempt)


def _why_not_started(run: Run, attempt: int) -> PixartTuiError:
    """Returns why a worker did not start: its own last word, or this becomes its last word."""
    run.poll()
    said = run.snapshot.finished
    if said is not None and said.failure is not None and run.snapshot.attempts >= attempt:
        return said.failure.as_error()
    return _not_started(run, attempt, " ".join(run.log_tail(1)))


def _not_started(run: Run, attempt: int, cause: str) -> WorkError:
    error = WorkError(
        f"the worker of run {run.id} did not start",
        cause=cause,
        next_step=f"look: pixart-tui logs {run.id}, then: pixart-tui resume {run.id}",
    )
    with suppress(OSError), exclusive_run(run) as mine:
        if mine:
            say(run.paths.last_word, attempt, outcome_of(error))
    return error


def _ended_within(run: Run, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        run.poll()
        if run.state().is_finished:
            return True
        time.sleep(_POLL_S)
    return False


def _gone_within(run: Run, limit_s: float) -> bool:
    """Waits for the end of a worker: one that said its last word may be stopped before it goes."""
    deadline = time.monotonic() + limit_s
    while (lives := _has_live_worker(run)) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    return not lives


def _has_live_worker(run: Run) -> bool:
    worker = run.worker()
    if worker is not None:
        return is_alive(worker, run.paths.heartbeat)
    run.poll()
    return not run.state().is_finished


def _listened(run: Run, limit_s: float) -> bool:
    """Waits for the end of a run; not while its worker is stopped, which would be in vain."""
    deadline = time.monotonic() + limit_s
    while not (ended := _ended_within(run, _POLL_S)) and time.monotonic() < deadline:
        if worker := run.stopped_worker():
            raise WorkError(
                f"the worker of run {run.id} is stopped",
                cause=f"a signal stopped pid {worker.pid}; it is cancelled as soon as it goes on",
                next_step=f"kill -CONT {worker.pid}, or at once: pixart-tui cancel {run.id} "
                "--force",
            )
    return ended


def _signal(run: Run, *signals: signal.Signals) -> None:
    worker = run.worker()
    if worker is None or run.state() is RunState.STALE:
        return
    if worker.host != os.uname().nodename:
        raise WorkError(
            f"run {run.id} has not stopped yet",
            cause=f"its worker is on {worker.host}, where only the request to cancel reaches it",
            next_step=f"there: kill {worker.pid}",
        )
    with suppress(ProcessLookupError):  # it has gone this moment
        for number in signals:
            os.kill(worker.pid, number)
