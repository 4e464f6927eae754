"""Starting, resuming and cancelling a run's worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import Final

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.runs.device_lock import own_locks
from pixart_tui.runs.process import is_alive
from pixart_tui.runs.run import Run, RunState

_PROFILE_ENVIRONMENT: Final = {
    # Threads that spin while they wait make the work several times slower wherever the cores
    # are shared: with the viewer, or with anyone.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Without these glibc gives every large temporary back and page-faults on the next one.
    "MALLOC_MMAP_THRESHOLD_": "268435456",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
}
"""What the worker of a profile or a verification gets unless the user's environment says
otherwise. What measures speed gets nothing: it has to measure what the user would see."""

_TEXT_ENVIRONMENT: Final = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8:backslashreplace"}
"""What every worker gets: logs and files are UTF-8 whatever the viewer's locale is."""

_START_LIMIT_S: Final = 20.0
_CANCEL_GRACE_S: Final = 10.0
_EXIT_LIMIT_S: Final = 30.0
_POLL_S: Final = 0.05


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
    run.paths.cancel.unlink(missing_ok=True)
    with run.paths.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pixart_tui.worker", str(run.paths.directory)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(run),
            start_new_session=True,
        )
    _wait_until_identified(run, process)
    return process.pid


def _environment(run: Run) -> dict[str, str]:
    timed = run.record is None or run.record.request.kind in ("bench", "generate")
    return ({} if timed else _PROFILE_ENVIRONMENT) | os.environ | _TEXT_ENVIRONMENT


def cancel(run: Run) -> None:
    """Asks a run's worker to stop, and signals it if it has not after a while.

    Raises:
        RequestError: No worker works on it.
        WorkError: It lives on another host and did not stop in time.
    """
    run.poll()
    if run.state().is_finished:
        raise RequestError(f"run {run.id} is already {run.state()}", "", "list: pixart-tui runs")
    run.paths.cancel.touch()
    if _ended_within(run, _CANCEL_GRACE_S):
        return
    _terminate(run)
    if not _ended_within(run, _CANCEL_GRACE_S):
        raise WorkError(f"run {run.id} does not stop", "", f"look: pixart-tui logs {run.id}")


def _refuse_second_worker(run: Run) -> None:
    run.poll()
    deadline = time.monotonic() + _EXIT_LIMIT_S
    while (previous := run.worker()) and is_alive(previous, run.paths.heartbeat):
        # A worker that has said its last word still takes a moment to give its memory back.
        if run.state().is_finished and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            continue
        raise RequestError(
            f"run {run.id} already has a worker",
            f"pid {previous.pid} on {previous.host}",
            f"watch it: pixart-tui attach {run.id}",
        )


def _wait_until_identified(run: Run, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        worker = run.worker()
        if worker is not None and worker.pid == process.pid:
            return
        if process.poll() is not None:
            break
        time.sleep(_POLL_S)
    process.kill()
    process.wait()
    raise WorkError(
        f"the worker of run {run.id} did not start",
        " ".join(run.log_tail(1)),
        f"look: pixart-tui logs {run.id}",
    )


def _ended_within(run: Run, limit_s: float) -> bool:
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        run.poll()
        if run.state().is_finished:
            return True
        time.sleep(_POLL_S)
    return False


def _terminate(run: Run) -> None:
    worker = run.worker()
    if worker is None or run.state() is RunState.STALE:
        return
    if worker.host != os.uname().nodename:
        raise WorkError(
            f"run {run.id} has not stopped yet",
            f"its worker is on {worker.host}, where only the request to cancel reaches it",
            f"there: kill {worker.pid}",
        )
    os.kill(worker.pid, signal.SIGTERM)
