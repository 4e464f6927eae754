"""A terminal that tmux gives."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final

LIMIT_S: Final = 30.0


@dataclass
class Tmux:
    """A tmux server of one's own.

    Attributes:
        socket: Its name.
        limit_s: How long anything is waited for.
    """

    limit_s: ClassVar[float] = LIMIT_S
    socket: str

    def tmux(self, *arguments: str) -> str:
        """Runs a command of tmux; returns what it prints."""
        command = ["tmux", "-L", self.socket, *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    @property
    def screen(self) -> str:
        """What stands in the terminal, without colors."""
        return self.tmux("capture-pane", "-p")

    def until(self, condition: Callable[[], bool]) -> None:
        """Waits until something is so, and fails if it never is."""
        deadline = time.monotonic() + self.limit_s
        while not condition():
            assert time.monotonic() < deadline, self.screen
            time.sleep(0.05)
