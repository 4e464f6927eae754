"""A run outlives whoever watches it: a closed pipe, a closed terminal, a killed viewer."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pixart_tui.cli.display import starting
from pixart_tui.cli.main import main
from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.runs.catalogue import find_run, list_runs
from pixart_tui.runs.process import control
from pixart_tui.runs.process.control import cancel
from pixart_tui.runs.run import Run, RunState

_LIMIT_S = 300
_PROFILE = [
    *(sys.executable, "-m", "pixart_tui", "profile", "--prompt", "robot", "--output", "out.json"),
    # Soon at its first layer, and long enough at the others to be watched.
    *("--height", "64", "--width", "64", "--method", "exhaustive", "--steps", "4"),
]


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    for run in list_runs():
        try:
            cancel(run)
        except PixartTuiError:
            continue


def _run_with_progress(at_least: int = 1) -> Run:
    deadline = time.monotonic() + _LIMIT_S
    while time.monotonic() < deadline:
        for run in list_runs():
            run.poll()
            if run.snapshot.done >= at_least:
                return run
        time.sleep(0.05)
    raise AssertionError([run.log_tail() for run in list_runs()])


def _goes_on(run: Run) -> None:
    done = run.snapshot.done
    deadline = time.monotonic() + _LIMIT_S
    while run.snapshot.done < done + 3 and time.monotonic() < deadline:
        time.sleep(0.05)
        run.poll()
    assert run.state() is RunState.RUNNING
    assert run.snapshot.done >= done + 3


def test_a_reader_that_takes_only_the_first_lines_gets_valid_json() -> None:
    command = " ".join([*_PROFILE, "--display", "json", "|", "head", "-n", "4"])
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=_LIMIT_S,
    )
    events = [json.loads(line)["event"]["type"] for line in result.stdout.splitlines()]
    assert events[0] == "attempt_started"
    assert len(events) == 4
    assert "Traceback" not in result.stderr
    _goes_on(_run_with_progress())


@pytest.mark.parametrize("display", ["plain", "tui"])
def test_closing_the_terminal_leaves_the_run_going(display: str) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="100", LINES="30")
        os.execv(sys.executable, [*_PROFILE, "--display", display])
    run = _run_with_progress()
    os.close(terminal)
    os.waitpid(pid, 0)
    _goes_on(run)


def test_a_killed_viewer_leaves_the_run_going() -> None:
    viewer = subprocess.Popen([*_PROFILE, "--display", "plain"], stderr=subprocess.DEVNULL)
    run = _run_with_progress()
    viewer.kill()
    viewer.wait()
    _goes_on(run)


def test_ctrl_c_in_a_plain_display_cancels() -> None:
    viewer = subprocess.Popen(
        [*_PROFILE, "--display", "plain"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    run = _run_with_progress()
    viewer.send_signal(signal.SIGINT)
    _, err = viewer.communicate(timeout=_LIMIT_S)
    assert viewer.returncode == 130
    assert "was cancelled" in err
    run.poll()
    assert run.state() is RunState.CANCELLED


def test_detach_prints_the_id_alone_and_attach_shows_the_run_still_going() -> None:
    started = subprocess.run(
        [*_PROFILE, "--detach"], capture_output=True, text=True, check=True, timeout=_LIMIT_S
    )
    run = _run_with_progress()
    assert started.stdout == run.id + "\n"
    with subprocess.Popen(
        [sys.executable, "-m", "pixart_tui", "attach", "last", "--display", "json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        watching.kill()
    assert first["event"]["type"] == "attempt_started"
    _goes_on(run)


@pytest.mark.parametrize("command", ["attach", "runs", "report"])
def test_a_reader_that_leaves_ends_every_command_quietly(tmp_path: Path, command: str) -> None:
    words = ["profile", "--model", "synthetic:alpha-tiny", "--steps", "2", "--draws", "2"]
    output = str(tmp_path / "p.json")
    assert main([*words, "--prompt", "a", "--output", output, "--display", "none"]) == 0
    more = {"attach": ["last", "--display", "plain"], "report": ["last", "--format", "markdown"]}
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [sys.executable, "-m", "pixart_tui", command, *more.get(command, [])],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert ended.returncode == 0
    assert b"Traceback" not in ended.stderr
    assert b"error" not in ended.stderr


@pytest.mark.real_processes
def test_ctrl_c_while_the_worker_starts_cancels_the_run_and_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(run: Run) -> int:
        control.start_worker(run)
        raise KeyboardInterrupt

    monkeypatch.setattr(starting, "start_worker", interrupted)
    words = ["profile", "--model", "synthetic:alpha-tiny", "--steps", "2", "--display", "plain"]
    assert main([*words, "--output", str(tmp_path / "p.json")]) == 130
    run = find_run("last")
    assert run.state() is RunState.CANCELLED
    assert f"canceling run {run.id}" in capsys.readouterr().err
