"""Commands and workers in processes of their own, forked so that torch is imported once.

What is forked does what the real program does, from ``main`` and ``work_on`` on. Part of the tries
of a campaign start real programs instead.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import sys
import tempfile
import termios
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.chaos.shim import Aim, arm, set_clock
from pixart_tui.cli.main import main
from pixart_tui.worker.attempt import work_on

_POLL_S: Final = 0.01
_USUAL: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGCHLD)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ended.

    Attributes:
        code: Its exit code; minus the signal that ended it; None if it had to be ended.
        out: What it printed on stdout; all of it where it had a terminal.
        err: What it printed on stderr.
    """

    code: int | None
    out: bytes
    err: bytes = b""

    @property
    def text(self) -> str:
        """All that it printed."""
        return (self.out + self.err).decode(errors="replace")


@dataclass(frozen=True, slots=True)
class Setting:
    """What a process finds around it.

    Attributes:
        cwd: The directory it works in.
        runs: The directory of runs, where faults are counted.
        aim: The fault that waits in it, if any.
        clock_s: How far its clock is off.
        uid: The user that it runs as, None for this one.
        count_to: Where it leaves the number of its changes.
    """

    cwd: Path
    runs: Path
    aim: Aim | None = None
    clock_s: int = 0
    uid: int | None = None
    count_to: Path | None = None


def forked(action: Callable[[], int], setting: Setting, files: tuple[int, int, int]) -> int:
    """Runs an action in a new process with a session of its own and returns its pid.

    Args:
        action: Gives the exit code.
        setting: What it finds around it.
        files: What becomes stdin, stdout and stderr.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = _inside(action, setting, files)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def _inside(action: Callable[[], int], setting: Setting, files: tuple[int, int, int]) -> int:
    os.setsid()
    for number in _USUAL:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)  # as Python does
    for target, source in enumerate(files):
        os.dup2(source, target)
    # Those of the campaign know whether its own output could be sought in.
    sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
    if os.isatty(0):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.closerange(3, 256)
    tempfile.tempdir = None  # the place of this try, not the one known from before
    os.chdir(setting.cwd)
    if setting.clock_s:
        set_clock(setting.clock_s)
    if setting.uid is not None:
        os.setgroups([])
        os.setgid(setting.uid)
        os.setuid(setting.uid)
    if setting.aim is not None:
        arm(setting.aim, setting.runs, setting.cwd)
    code = action()
    if setting.count_to is not None:
        from benchmarks.chaos.shim import count

        setting.count_to.write_text(str(count()))
    return code


def start_worker(directory: Path, setting: Setting) -> int:
    """Starts a worker on a run, as ``runs.process.control`` does but without importing anything."""
    (directory / "cancel").unlink(missing_ok=True)
    with (directory / "worker.log").open("ab") as log, Path(os.devnull).open("rb") as nothing:
        files = (nothing.fileno(), log.fileno(), log.fileno())
        return forked(lambda: work_on(directory), setting, files)


def ended(pid: int, limit_s: float) -> int | None:
    """Waits for a process and gives its exit code, minus a signal, None after it was ended."""
    deadline_s = time.monotonic() + limit_s
    while time.monotonic() < deadline_s:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(_POLL_S)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return None


def command(
    arguments: Sequence[str],
    setting: Setting,
    limit_s: float = 60.0,
    given: bytes = b"",
) -> Outcome:
    """Runs a command line without a terminal to its end.

    Args:
        arguments: Of ``pixart-tui``.
        setting: What it finds around it.
        limit_s: It is ended after so long.
        given: What stands on stdin.
    """
    files = [os.memfd_create(name) for name in ("in", "out", "err")]
    try:
        os.write(files[0], given)
        os.lseek(files[0], 0, os.SEEK_SET)
        pid = forked(lambda: main(arguments), setting, (files[0], files[1], files[2]))
        code = ended(pid, limit_s)
        out, err = (_whole(handle) for handle in files[1:])
    finally:
        for handle in files:
            os.close(handle)
    return Outcome(code, out, err)


def _whole(handle: int) -> bytes:
    return os.pread(handle, os.fstat(handle).st_size, 0)


def on_terminal(
    arguments: Sequence[str],
    setting: Setting,
    limit_s: float = 30.0,
    keys: Sequence[tuple[float, bytes]] = (),
) -> Outcome:
    """Runs a command line on a pseudo terminal of 100 times 30 cells to its end.

    Args:
        arguments: Of ``pixart-tui``.
        setting: What it finds around it.
        limit_s: It is ended after so long.
        keys: What is typed, and after how many seconds.
    """
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (30, 100))
    pid = forked(lambda: main(arguments), setting, (slave, slave, slave))
    os.close(slave)
    started_s, left, sent, code = time.monotonic(), list(keys), b"", None
    while code is None:
        if select.select([master], [], [], 0.05)[0]:
            with suppress(OSError):  # the other end is closed
                sent += os.read(master, 1 << 16)
        spent_s = time.monotonic() - started_s
        while left and left[0][0] <= spent_s:
            os.write(master, left.pop(0)[1])
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
        elif spent_s > limit_s:
            ended(pid, 0.0)
            break
    with suppress(OSError):
        while select.select([master], [], [], 0.05)[0] and (more := os.read(master, 1 << 16)):
            sent += more
    os.close(master)
    return Outcome(code, sent)
