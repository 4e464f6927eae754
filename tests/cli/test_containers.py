"""Commands as containers and services start them: no name, no home, closed streams."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pixart_tui.cli.main import main

_PROGRAM: Final = f"{shlex.quote(sys.executable)} -m pixart_tui"
_UNKNOWN: Final = ["unshare", "--user", "--map-user=12345"]


def _run(command: list[str], **variables: str | None) -> subprocess.CompletedProcess[str]:
    merged: dict[str, str | None] = {**os.environ, **variables}
    environment = {name: value for name, value in merged.items() if value is not None}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=300
    )


def _nameless(*arguments: str, **variables: str | None) -> subprocess.CompletedProcess[str]:
    """A command of a user that no password file knows."""
    if _run([*_UNKNOWN, "true"]).returncode:
        pytest.skip("this machine gives no user namespaces")
    return _run([*_UNKNOWN, sys.executable, "-m", "pixart_tui", *arguments], **variables)


def test_without_a_home_the_variable_that_helps_is_named() -> None:
    found = _nameless("runs", HOME=None, PIXART_TUI_RUNS=None, XDG_STATE_HOME=None)
    assert (found.returncode, found.stdout) == (2, "")
    assert "user 12345" in found.stderr
    assert "set PIXART_TUI_RUNS" in found.stderr


def test_without_a_home_there_are_a_cache_and_a_doctor(tmp_path: Path) -> None:
    nothing = {"HOME": None, "PIXART_TUI_CACHE": None, "PIXART_TUI_CONFIG": None}
    nothing |= {"XDG_CACHE_HOME": None, "XDG_CONFIG_HOME": None}
    cache = _nameless("cache", "info", **nothing)
    assert (cache.returncode, cache.stderr) == (0, "")
    assert str(tmp_path / "locks" / "cache") in cache.stdout
    doctor = _nameless("doctor", "--json", PIXART_TUI_RUNS=None, **nothing)
    assert doctor.returncode in (0, 1)
    assert "Traceback" not in doctor.stderr
    assert "set PIXART_TUI_RUNS" in json.dumps(json.loads(doctor.stdout))


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_no_terminal(streams: str) -> None:
    listed = _run(["bash", "-c", f"{_PROGRAM} runs {streams}"])
    assert listed.returncode == 0
    assert listed.stderr == ""
    dashboard = _run(["bash", "-c", f"{_PROGRAM} {streams}"])
    assert dashboard.returncode == 2
    assert "Traceback" not in dashboard.stderr


@pytest.mark.parametrize("command", ["profile", "bench", "generate", "compare"])
def test_a_model_in_the_home_of_nobody_is_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--model", "~nouser/x"]) == 2
    assert "~nouser/x is not a directory" in capsys.readouterr().err


def test_a_place_for_runs_that_cannot_be_written_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PIXART_TUI_RUNS", str(tmp_path / "file" / "runs"))
    assert main(["generate", "--prompt", "owl"]) == 1
    assert "PIXART_TUI_RUNS" in capsys.readouterr().err


def test_a_cache_that_cannot_be_written_names_the_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PIXART_TUI_CACHE", str(tmp_path / "file" / "cache"))
    assert main(["cache", "load", str(tmp_path / "file")]) == 1
    assert "PIXART_TUI_CACHE" in capsys.readouterr().err
