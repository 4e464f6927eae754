"""The dashboard in a real terminal, which is sent changes only: it must show the whole screen."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pyte
import pytest
from pyte.screens import Char

from tests.tui.terminal.seen import seen
from tests.tui.tmux import LIMIT_S, Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

ROOT = Path(__file__).parents[3]
QUIET_S = 0.4
WIDEST = 200
WALK = (
    (("Down", "Down"), "Details"),
    (("Right",), "Details"),
    (("Enter",), "Back"),
    (("Escape",), "Details"),
    (("/",), "part of a name"),
    (("f", "f"), "/ff"),
    (("Escape",), "Details"),
    (("End",), "Details"),
    (("3",), "least loss"),
    (("Right", "t"), "FLOPs share"),
    (("?",), "Keys on Select"),
    (("PageDown",), "esc closes"),
    (("Escape",), "least loss"),
    (("4",), "4 Bench"),
    (("5",), "5 Compare"),
    (("6",), "6 Log"),
    (("1",), "progress"),
    (("n",), "pixart-tui profile"),
    (("Down", "x"), "✗"),  # the form checks what was typed a moment later
    (("Escape",), "progress"),
    (("2",), "Details"),
)
"""Keys, and what stands on the screen after them."""

_LAUNCH = """
import os, sys
from pathlib import Path
from pixart_tui.tui.app.running import run_dashboard
from tests.tui import sample_runs
sample_runs.finished_profile(Path(sys.argv[1]))
Path(sys.argv[1], "pid").write_text(str(os.getpid()))
run_dashboard([sample_runs.PROFILE_ID])
"""


class Terminal(Tmux):
    """A dashboard under tmux, on a run that has ended, so that nothing moves by itself."""

    @property
    def cells(self) -> list[list[Char]]:
        """With colors."""
        lines = self.tmux("capture-pane", "-epN").splitlines()
        screen = pyte.Screen(WIDEST, len(lines))
        pyte.Stream(screen).feed("\r\n".join(lines))
        return seen(screen)

    pid = 0

    @property
    def busy(self) -> bool:
        """Whether the dashboard works, or would if it were given a core."""
        stats = Path(f"/proc/{self.pid}/task").glob("*/stat")
        return any(x.read_text().rpartition(")")[2].split()[0] != "S" for x in stats)

    def settled(self) -> list[list[Char]]:
        """The cells once it has stood still for a moment, with nothing to do."""
        deadline = time.monotonic() + LIMIT_S
        before, since = self.cells, time.monotonic()
        while time.monotonic() - since < QUIET_S:
            assert time.monotonic() < deadline, self.screen
            time.sleep(0.05)
            busy = self.busy
            if (now := self.cells) != before or busy:
                before, since = now, time.monotonic()
        return before

    def press(self, *keys: str) -> None:
        self.tmux("send-keys", *keys)

    def spoil(self) -> None:
        """Something else writes into the terminal."""
        place = Path(self.tmux("display-message", "-p", "#{pane_tty}").strip())
        place.write_text("\x1b[5;3HNOT OURS\x1b[31mNOR THIS\x1b[9;1H\x1b[2K")


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(f"pixart-{uuid.uuid4().hex[:8]}")
    script = tmp_path / "launch.py"
    script.write_text(_LAUNCH)
    command = f"{sys.executable} {script} {tmp_path}; sleep 30"
    environment = [f"-ePIXART_TUI_RUNS={tmp_path / 'runs'}", f"-ePYTHONPATH={ROOT}"]
    terminal.tmux("-f", "/dev/null", "new-session", "-d", "-x80", "-y24", *environment, command)
    try:
        terminal.until(lambda: "85 of 85 layers" in terminal.screen)
        terminal.pid = int((tmp_path / "pid").read_text())
        yield terminal
    finally:
        subprocess.run(["tmux", "-L", terminal.socket, "kill-server"], check=False)


def test_what_changes_bring_about_is_what_a_whole_screen_would_show(terminal: Terminal) -> None:
    for keys, text in WALK:
        terminal.press(*keys)
        terminal.until(lambda shown=text: shown in terminal.screen)  # type: ignore[misc]
        by_changes = terminal.settled()
        terminal.press("C-l")
        assert _differences(terminal.settled(), by_changes) == [], keys


def test_all_is_drawn_again_where_something_else_wrote(terminal: Terminal) -> None:
    whole = terminal.settled()
    terminal.spoil()
    terminal.until(lambda: "NOT OURS" in terminal.screen)
    assert terminal.settled() != whole  # nobody knows of it

    terminal.press("C-l")
    terminal.until(lambda: terminal.cells == whole)


def test_another_size_is_drawn_whole(terminal: Terminal) -> None:
    first = terminal.settled()
    for size in ("-x60 -y20", "-x160 -y50", "-x81 -y24", "-x80 -y25", "-x80 -y24"):
        terminal.tmux("resize-window", *size.split())
        by_changes = terminal.settled()
        terminal.press("C-l")
        assert _differences(terminal.settled(), by_changes) == [], size
    assert _differences(terminal.settled(), first) == []


def _differences(
    one: list[list[Char]], other: list[list[Char]]
) -> list[tuple[int, int, Char, Char]]:
    """Row, column, and both cells; short enough to read."""
    assert len(one) == len(other)
    return [
        (row, column, *cells)
        for row, lines in enumerate(zip(one, other, strict=True))
        for column, cells in enumerate(zip(*lines, strict=True))
        if cells[0] != cells[1]
    ]
