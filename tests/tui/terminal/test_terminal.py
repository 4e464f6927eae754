"""The dashboard in a real terminal: tmux gives it one, changes its size and takes it away."""

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

import pytest

from tests.tui.tmux import LIMIT_S, Tmux

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed")

ROOT = Path(__file__).parents[3]
_LAUNCH = """
import os, sys
from pathlib import Path
from pixart_tui.tui.app.running import run_dashboard
from tests.tui import sample_runs
place = Path(sys.argv[1])
process, identity = sample_runs.sleeping_process()
sample_runs.running_profile(place, identity)
(place / "pids").write_text(f"{os.getpid()} {process.pid}")
run_dashboard([sample_runs.PROFILE_ID])
"""


@dataclass
class Terminal(Tmux):
    """A dashboard under tmux, on a sample run whose worker is a real sleeping process."""

    place: Path

    def until_shown(self, text: str) -> None:
        self.until(lambda: text in self.screen)

    @property
    def pids(self) -> tuple[int, int]:
        """Of the dashboard and of the worker."""
        dashboard, worker = (self.place / "pids").read_text().split()
        return int(dashboard), int(worker)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(f"pixart-{uuid.uuid4().hex[:8]}", tmp_path)
    script = tmp_path / "launch.py"
    script.write_text(_LAUNCH)
    exit_code = tmp_path / "exit"
    command = f"{sys.executable} {script} {tmp_path}; echo $? > {exit_code}; sleep 30"
    environment = [
        "-eCOLUMNS=80",
        "-eLINES=24",
        f"-ePIXART_TUI_RUNS={tmp_path / 'runs'}",
        f"-ePYTHONPATH={ROOT}",
    ]
    terminal.tmux("-f", "/dev/null", "new-session", "-d", "-x80", "-y24", *environment, command)
    try:
        terminal.until_shown("34 of 85 layers")
        yield terminal
    finally:
        subprocess.run(["tmux", "-L", terminal.socket, "kill-server"], check=False)
        os.kill(terminal.pids[1], signal.SIGKILL)


def test_shows_resizes_obeys_keys_and_leaves(terminal: Terminal, tmp_path: Path) -> None:
    terminal.tmux("resize-window", "-x160", "-y50")
    terminal.until_shown("transformer_blocks.0.attn2.to_v")
    terminal.tmux("send-keys", "3")
    terminal.until_shown("not verified")
    terminal.tmux("resize-window", "-x60", "-y20")
    terminal.until_shown("pixart-tui needs 80x24")
    terminal.tmux("resize-window", "-x80", "-y24")
    terminal.until_shown("30 of 86 layers")
    terminal.tmux("send-keys", "q")
    terminal.until((tmp_path / "exit").exists)

    assert (tmp_path / "exit").read_text().strip() == "0"
    assert _lives(terminal.pids[1])


def test_a_terminal_that_goes_takes_the_dashboard_and_leaves_the_worker(
    terminal: Terminal,
) -> None:
    dashboard, worker = terminal.pids
    terminal.tmux("kill-server")
    deadline = time.monotonic() + LIMIT_S
    while _lives(dashboard) and time.monotonic() < deadline:
        time.sleep(0.1)

    assert not _lives(dashboard)
    assert _lives(worker)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_dashboard_cleanly(
    terminal: Terminal, tmp_path: Path, number: signal.Signals
) -> None:
    os.kill(terminal.pids[0], number)
    terminal.until((tmp_path / "exit").exists)

    assert (tmp_path / "exit").read_text().strip() == "0"
    assert _lives(terminal.pids[1])


def _lives(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")
