"""One run per device at a time: a lock on this machine, first come, first served."""

from __future__ import annotations

import fcntl
import os
import platform
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.catalogue import list_runs
from pixart_tui.runs.identity import is_alive
from pixart_tui.runs.paths import LOCKS_VARIABLE, locks_root
from pixart_tui.runs.run import Run

_POLL_S: Final = 0.5
_ANOTHER_PLACE: Final = f"name a directory of your own: {LOCKS_VARIABLE}=DIRECTORY"
_DYING_S: Final = 10.0
_DYING_POLL_S: Final = 0.05


@contextmanager
def exclusive_run(run: Run) -> Iterator[bool]:
    """Holds the right to write a run's files; yields False if another worker holds it.

    A killed worker holds it until the last of its threads has gone: that is waited for.
    """
    with _lock_file(f"run-{run.id}") as file:
        deadline = time.monotonic() + _DYING_S
        while not (mine := _try_lock(file)) and time.monotonic() < deadline:
            holder = run.worker()
            if holder is None or is_alive(holder, run.paths.heartbeat):
                break
            time.sleep(_DYING_POLL_S)
        yield mine


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


def own_locks() -> Path:
    """The directory of locks, made if it is not there.

    Every user can write in the directory for temporary files: what another user put there first
    could hold a run up for ever, or have it write where a link points.

    Raises:
        WorkError: It cannot be made, or the one in the temporary directory is another user's.
    """
    root = locks_root()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = root.lstat()
    except OSError as error:
        cause = error.strerror or str(error)
        raise WorkError(
            f"{root} cannot hold locks", cause=cause, next_step=_ANOTHER_PLACE
        ) from error
    private = stat.S_ISDIR(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not os.environ.get(LOCKS_VARIABLE) and not (private and found.st_uid == os.getuid()):
        cause = "another user may have made it: it is a link, or others can write there"
        raise WorkError(f"{root} cannot hold locks", cause=cause, next_step=_ANOTHER_PLACE)
    return root


@contextmanager
def _lock_file(name: str) -> Iterator[IO[str]]:
    with Path(own_locks() / f"{name}.lock").open("a") as file:
        yield file


def _try_lock(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
