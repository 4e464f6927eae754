"""The dashboard in a pseudo terminal: what it sends is timed, counted and drawn on a screen."""

from __future__ import annotations

import fcntl
import os
import pty
import selectors
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

import psutil
import pyte

ROOT: Final = Path(__file__).parents[1]
FRAME_BEGIN: Final = b"\x1b[?2026h"
FRAME_END: Final = b"\x1b[?2026l"
_ASKS_SYNC: Final = b"\x1b[?2026$p"
_HAS_SYNC: Final = b"\x1b[?2026;2$y"
_ASKS_KIND: Final = b"\x1b[c"
_NO_PICTURES: Final = b"\x1b[?62;22c"
_DROPPED: Final = (
    "COLUMNS",
    "LINES",
    "PYTHONDONTWRITEBYTECODE",  # a warm start has its bytecode cached
    *("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY", "TMUX", "STY"),
)
_READ_BYTES: Final = 1 << 16
_LEAVE_LIMIT_S: Final = 10.0


class PtyDashboard:
    """A dashboard that believes it is on a terminal with true color and synchronized output.

    Synchronized output marks the begin and the end of each repaint, which is how repaints are
    counted. Nothing is read but what ``follow`` reads: time that is not spent there is not lost,
    as the pseudo terminal holds what was sent.

    Attributes:
        received_s: When the latest bytes came, before any time was spent on drawing them.

    Args:
        runs: The directory of all runs.
        arguments: Of the command line, ``attach RUN`` for example.
        columns: Cells of the terminal.
        rows: Lines of the terminal.
        near: Whether it is no terminal over SSH; it then says that it cannot draw pictures.
    """

    def __init__(
        self,
        runs: Path,
        arguments: Sequence[str],
        columns: int,
        rows: int,
        *,
        near: bool = False,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        self._selector = selectors.DefaultSelector()
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.sent_bytes = 0
        self.repaints = 0
        self._tail = b""
        self.received_s = 0.0
        self.started_s = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "pixart_tui", *arguments],
            cwd=ROOT,
            env=_environment(runs, near=near),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)
        self._selector.register(self._master, selectors.EVENT_READ)

    @property
    def lines(self) -> list[str]:
        """The screen as it is by now."""
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self) -> str:
        """The screen as one text."""
        return "\n".join(self.lines)

    @property
    def cpu_s(self) -> float:
        """Processor time that the dashboard has taken so far."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def press(self, keys: str) -> None:
        """Types keys."""
        os.write(self._master, keys.encode())

    def follow(self, limit_s: float, until: Callable[[], bool] = lambda: False) -> bool:
        """Takes in what is sent until something is so, or for a time; tells whether it is so."""
        deadline_s = time.perf_counter() + limit_s
        while not until():
            left_s = deadline_s - time.perf_counter()
            if left_s <= 0:
                return False
            if self._selector.select(left_s):
                data = os.read(self._master, _READ_BYTES)
                self.received_s = time.perf_counter()
                self._take(data)
        return True

    def require(self, text: str, limit_s: float = 60.0) -> None:
        """Waits until a text stands on the screen.

        Raises:
            RuntimeError: It never does.
        """
        if not self.follow(limit_s, lambda: text in self.text):
            raise RuntimeError(f"{text!r} is not on the screen:\n{self.text}")

    def _take(self, data: bytes) -> None:
        self.sent_bytes += len(data)
        for question, answer in ((_ASKS_SYNC, _HAS_SYNC), (_ASKS_KIND, _NO_PICTURES)):
            if question in data:
                os.write(self._master, answer)
        # A mark may lie across two reads.
        whole = self._tail + data
        self._tail = whole[-len(FRAME_END) + 1 :]
        self.repaints += whole.count(FRAME_END)
        self._stream.feed(data)

    def __enter__(self) -> PtyDashboard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leaves the dashboard, or ends it."""
        with suppress(OSError):
            self.press("q")
            self.follow(_LEAVE_LIMIT_S, lambda: self._process.poll() is not None)
        self._process.kill()
        self._process.wait()
        os.close(self._master)
        self._selector.close()


def _environment(runs: Path, *, near: bool) -> dict[str, str]:
    """True color costs the most bytes; nothing of this terminal reaches it."""
    own = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    return (
        own
        | ({} if near else {"SSH_CONNECTION": "192.0.2.1 50000 192.0.2.2 22"})
        | {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "PIXART_TUI_RUNS": str(runs),
            "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
        }
    )
