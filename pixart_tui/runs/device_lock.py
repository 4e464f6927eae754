"""One run per device at a time: a lock on this machine, first come, first served."""

from __future__ import annotations

import fcntl
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from pixart_tui.runs.catalogue import list_runs
from pixart_tui.runs.paths import make_locks_root
from pixart_tui.runs.process import is_alive
from pixart_tui.runs.run import Run

_POLL_S: Final = 0.5


@contextmanager
def exclusive_run(run_id: str) -> Iterator[bool]:
    """Holds the right to write a run's files; yields False if another worker holds it."""
    with _lock_file(f"run-{run_id}") as file:
        yield _try_lock(file)


@contextmanager
def device_lock(
    run: Run, device: str, on_wait: Callable[[str], None], check: Callable[[], None]
) -> Iterator[None]:
    """Holds a device for a run, after the runs that were created before it.

    Args:
        run: Who waits.
        device: ``cpu`` or ``cuda:N``.
        on_wait: Called once with what it waits for, if it waits.
        check: Called while waiting; may raise to give up.
    """
    with _lock_file(f"device-{device.replace(':', '-')}") as file:
        told = False
        while (ahead := _ahead_of(run, device)) or not _try_lock(file):
            if not told:
                on_wait(f"run {ahead} has {device}" if ahead else f"{device} is in use")
                told = True
            check()
            time.sleep(_POLL_S)
        yield


def _ahead_of(run: Run, device: str) -> str | None:
    for other in reversed(list_runs()):
        if other.id == run.id:
            return None
        if other.record and other.record.request.device == device and _is_live_here(other):
            return other.id
    return None


def _is_live_here(run: Run) -> bool:
    """Whether its worker lives on this machine; the journals of the dead are not read."""
    worker = run.worker()
    if worker is not None and worker.host != platform.node():
        return False
    if worker is not None and not is_alive(worker, run.paths.heartbeat):
        return False
    run.poll()
    return not run.state().is_finished


@contextmanager
def _lock_file(name: str) -> Iterator[IO[str]]:
    root = make_locks_root()
    with Path(root / f"{name}.lock").open("a") as file:
        yield file


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
