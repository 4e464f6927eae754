"""A done run whose journal has lost a line since: told everywhere, and mended by a resume."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.run import Run, RunState


@pytest.fixture
def profiled(tmp_path: Path) -> Run:
    words = ["profile", "--model", "synthetic:alpha-tiny", "--steps", "2", "--draws", "2"]
    words += ["--prompt", "a", "--prompt", "b", "--all-samples", "--display", "none"]
    assert main([*words, "--output", str(tmp_path / "p.json")]) == 0
    return find_run("last")


def _nul(line: bytes) -> bytes:
    return line[:60] + b"\x00\x00" + line[62:]


def _flip(line: bytes) -> bytes:
    return line.replace(b'"elapsed_s"', b'"elapsed_r"')


def _cut(line: bytes) -> bytes:
    return line[: len(line) // 2]


@pytest.mark.parametrize("damage", [_nul, _flip, _cut])
def test_a_damaged_line_is_told_and_measured_again(
    profiled: Run,
    damage: Callable[[bytes], bytes],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    whole = (tmp_path / "p.json").read_bytes()
    _change(profiled, damage)

    for command in ("select", "report", "export"):
        more = ["--format", "torchao"] if command == "export" else []
        assert main([command, profiled.id, *more, "--output", str(tmp_path / command)]) == 2
        assert "is damaged" in capsys.readouterr().err
        assert not (tmp_path / command).exists()
    assert main(["runs"]) == 0
    assert "1 journal line" in " ".join(capsys.readouterr().out.split())
    assert main(["attach", profiled.id, "--display", "plain"]) == 0
    assert "1 journal line cannot be read" in capsys.readouterr().err

    assert main(["resume", profiled.id, "--display", "none"]) == 0
    again = find_run(profiled.id)
    assert (again.state(), again.damage) == (RunState.DONE, "")
    assert (tmp_path / "p.json").read_bytes() == whole
    assert main(["select", profiled.id, "--output", str(tmp_path / "s.json")]) == 0


def test_a_line_of_a_newer_version_is_not_taken_out(
    profiled: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    _change(profiled, lambda line: json.dumps(json.loads(line) | {"v": 9}).encode())
    before = profiled.paths.events.read_bytes()
    assert main(["resume", profiled.id, "--display", "none"]) != 0
    assert "newer version" in capsys.readouterr().err
    assert profiled.paths.events.read_bytes().startswith(before)


def test_what_a_killed_writer_cut_off_is_no_damage(profiled: Run) -> None:
    lines = profiled.paths.events.read_bytes().split(b"\n")
    first = next(n for n, line in enumerate(lines) if b"attempt_started" in line)
    lines.insert(first, lines[first][:30])
    profiled.paths.events.write_bytes(b"\n".join(lines))
    assert find_run(profiled.id).damage == ""


def _change(run: Run, damage: Callable[[bytes], bytes]) -> None:
    lines = run.paths.events.read_bytes().split(b"\n")
    at = next(n for n, line in enumerate(lines) if b'"sample_measured"' in line)
    lines[at] = damage(lines[at])
    run.paths.events.write_bytes(b"\n".join(lines))
