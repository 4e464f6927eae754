"""The line drops: viewers come and go in a real terminal, and a real run goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from pixart_tui.runs.catalogue import list_runs
from pixart_tui.runs.identity import start_ticks
from pixart_tui.runs.run import RunState
from tests.tui.tmux import Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

ROOT = Path(__file__).parents[3]
DEAD_LIMIT_S = 10.0


@dataclass
class Shell(Tmux):
    """A shell in a terminal, as a user has it over SSH."""

    # A machine that is ten times slower still passes.
    limit_s: ClassVar[float] = 120.0
    place: Path
    environment: tuple[str, ...] = ()
    commands: int = 0

    def open(self) -> None:
        """Opens the terminal, anew if it was closed."""
        variables = [
            *(f"-e{name}={os.environ[name]}" for name in os.environ if name.startswith("PIXART_")),
            f"-ePYTHONPATH={ROOT}",
            "-ePS1=ready> ",
            *(f"-e{text}" for text in self.environment),
        ]
        shell = ["-x80", "-y24", f"-c{self.place}", *variables, "bash", "--norc"]
        self.tmux("-f", "/dev/null", "new-session", "-d", *shell)
        self.until_shown("ready>")

    def close(self) -> None:
        """Takes the terminal away, as a line does that drops."""
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], check=False)
        self.socket = f"pixart-{uuid.uuid4().hex[:8]}"

    def run(self, *words: str) -> None:
        """Types a pixart-tui command."""
        command = " ".join([sys.executable, "-m", "pixart_tui", *words])
        self.commands += 1
        self.tmux("send-keys", "-l", f"clear; {command}; echo end {self.commands}: $?")
        self.press("Enter")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.tmux("send-keys", key)

    def until_shown(self, *texts: str) -> None:
        self.until(lambda: all(text in self.screen for text in texts))

    def until_ended(self, exit_code: int) -> None:
        """Waits until the command has ended, and ended so."""
        self.until_shown(f"end {self.commands}: {exit_code}")

    @property
    def viewer(self) -> int:
        """Process id of the command that runs in the shell."""
        shell = int(self.tmux("display", "-p", "#{pane_pid}"))
        children = Path(f"/proc/{shell}/task/{shell}/children").read_text().split()
        return int(children[0])


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(f"pixart-{uuid.uuid4().hex[:8]}", tmp_path)
    shell.open()
    try:
        yield shell
    finally:
        shell.close()
        for run in list_runs():
            worker = run.worker()
            if worker is not None and start_ticks(worker.pid) == worker.start_ticks:
                os.kill(worker.pid, signal.SIGKILL)


def _worker() -> int:
    worker = list_runs()[0].worker()
    assert worker is not None
    return worker.pid


def _state() -> RunState:
    run = list_runs()[0]
    run.poll()
    return run.state()


def test_a_real_run_outlives_its_viewers(shell: Shell, tmp_path: Path) -> None:
    # Started in the form, by keyboard.
    shell.run()
    shell.until_shown("No runs yet")
    shell.press("n")
    shell.until_shown("New profile run")
    shell.press("Down", "Down")
    shell.tmux("send-keys", "-l", "exhaustive")
    shell.press(*["Down"] * 10)
    shell.tmux("send-keys", "-l", str(tmp_path / "p.json"))
    shell.until_shown("✓ exhaustive", "--method exhaustive --output")
    shell.press("Enter")
    shell.until_shown("run ", "pixart-emoji")
    shell.until(lambda: bool(list_runs()) and list_runs()[0].worker() is not None)
    worker = _worker()

    # The viewer is killed, and another one attaches.
    os.kill(shell.viewer, signal.SIGKILL)
    shell.until_ended(137)
    assert start_ticks(worker) is not None
    shell.run()
    shell.until_shown("Attached", "Leaving lets it run", list_runs()[0].id)
    shell.until_shown("▶ running")
    shell.tmux("resize-window", "-x120", "-y36")
    shell.until_shown("▶ running  pixart-emoji")
    shell.tmux("resize-window", "-x80", "-y24")

    # It is left.
    shell.press("q")
    shell.until_ended(0)
    assert start_ticks(worker) is not None

    # The terminal goes, and another one comes.
    shell.run("attach", "last")
    shell.until_shown("▶ running")
    viewer = shell.viewer
    shell.close()
    deadline = time.monotonic() + shell.limit_s
    while start_ticks(viewer) is not None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert start_ticks(viewer) is None
    assert start_ticks(worker) is not None
    shell.open()
    shell.run()
    shell.until_shown("Attached", "▶ running")

    # The worker is killed.
    os.kill(worker, signal.SIGKILL)
    killed_s = time.monotonic()
    shell.until_shown("! stale", "its worker is gone: r resumes it")
    assert time.monotonic() - killed_s < DEAD_LIMIT_S

    # It is resumed, and cancelled once that is confirmed.
    shell.press("r")
    shell.until(lambda: _state() is RunState.RUNNING)
    shell.until_shown("▶ running")
    assert _worker() != worker
    shell.press("c")
    shell.until_shown("Cancel profile run")
    shell.press("y")
    shell.until_shown("■ cancelled")
    assert _state() is RunState.CANCELLED


@pytest.mark.parametrize("term", ["screen", "xterm", "xterm-256color"])
def test_every_terminal_shows_it_with_and_without_colors(
    tmp_path: Path, term: str, request: pytest.FixtureRequest
) -> None:
    for colors in ((), ("NO_COLOR=1",)):
        name = f"pixart-{uuid.uuid4().hex[:8]}"
        shell = Shell(name, tmp_path, (f"TERM={term}", *colors))
        request.addfinalizer(shell.close)
        shell.open()
        shell.run("--no-mouse", "--ascii")
        shell.until_shown("No runs yet", "q Leave")
        assert shell.screen.isascii()
        assert shell.tmux("display", "-p", "#{mouse_any_flag}").strip() == "0"
        shell.press("q")
        shell.until_ended(0)


def test_the_mouse_is_taken_unless_it_is_refused(shell: Shell) -> None:
    shell.run()
    shell.until_shown("No runs yet")

    assert shell.tmux("display", "-p", "#{mouse_any_flag}").strip() == "1"


def test_a_configuration_that_cannot_be_used_is_told_before_anything_starts(shell: Shell) -> None:
    Path(os.environ["PIXART_TUI_CONFIG"]).write_text('[keys]\nlaeve = "x"\n')
    for words in ((), ("profile", "--output", "p.json")):
        shell.run(*words)
        shell.until_ended(2)
        assert 'knows no "laeve"' in shell.screen
        assert sum(bool(text.strip()) for text in shell.screen.splitlines()) <= 7

    assert list_runs() == []
