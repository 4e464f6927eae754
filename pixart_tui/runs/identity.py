"""Which process works on a run, and whether it still lives."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Final

from pixart_tui.domain.values import Value

HEARTBEAT_INTERVAL_S: Final = 2.0
_HEARTBEAT_LIMIT_S: Final = 30.0
_START_FIELD: Final = 19


class WorkerIdentity(Value):
    """The content of ``worker.json``.

    Attributes:
        pid: Process id on its host.
        start_ticks: Start of the process in clock ticks since boot; a reused pid has another.
        host: Host name.
        boot_id: The host's boot, so that a reboot is seen.
        attempt: 1 for the first worker of the run.
    """

    pid: int
    start_ticks: int
    host: str
    boot_id: str
    attempt: int


def identify_self(attempt: int) -> WorkerIdentity:
    """The identity of the calling process."""
    return WorkerIdentity(
        pid=os.getpid(),
        start_ticks=start_ticks(os.getpid()) or 0,
        host=platform.node(),
        boot_id=boot_id(),
        attempt=attempt,
    )


def boot_id() -> str:
    """An identifier of this boot of this machine; empty where the system has none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_alive(worker: WorkerIdentity, heartbeat: Path) -> bool:
    """Whether the worker lives.

    On its own host the process table decides; from another host, the heartbeat's age.
    """
    if worker.host != platform.node():
        return has_pulse(heartbeat)
    if worker.boot_id != boot_id():
        return False
    return start_ticks(worker.pid) == worker.start_ticks


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none or it is a zombie.

    Ticks rather than wall time: the latter moves when the clock is set.
    """
    fields = _status_fields(pid)
    return None if fields[0] in ("Z", "X") else int(fields[_START_FIELD])


def is_stopped(worker: WorkerIdentity) -> bool:
    """Whether a signal keeps a worker of this host from going on, as SIGSTOP does."""
    if worker.host != platform.node() or start_ticks(worker.pid) != worker.start_ticks:
        return False
    return _status_fields(worker.pid)[0] == "T"


def has_pulse(heartbeat: Path) -> bool:
    """Whether the file was touched a moment ago."""
    try:
        return time.time() - heartbeat.stat().st_mtime < _HEARTBEAT_LIMIT_S
    except OSError:
        return False


def _status_fields(pid: int) -> list[str]:
    """Reads ``/proc/PID/stat`` behind the name; ``X``, dead, where there is no process."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ["X"]
    # The second field is the command in parentheses and may itself hold spaces and parentheses.
    return status.rpartition(")")[2].split()
