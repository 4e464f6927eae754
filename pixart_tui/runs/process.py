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
        return _heartbeat_age_s(heartbeat) < _HEARTBEAT_LIMIT_S
    if worker.boot_id != boot_id():
        return False
    return start_ticks(worker.pid) == worker.start_ticks


def start_ticks(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if there is none or it is a zombie.

    Ticks rather than wall time: the latter moves when the clock is set. See ``proc(5)``, ``stat``.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The second field is the command in parentheses and may itself hold spaces and parentheses.
    fields = status.rpartition(")")[2].split()
    return None if fields[0] in ("Z", "X") else int(fields[_START_FIELD])


def _heartbeat_age_s(heartbeat: Path) -> float:
    try:
        return time.time() - heartbeat.stat().st_mtime
    except OSError:
        return float("inf")
