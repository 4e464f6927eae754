"""The transcript holds every command of OneDiff's page, and they are commands of this program."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from benchmarks.transcript import COMMANDS, Command, run_command
from pixart_tui.cli.commands.generate import generate

_PAGE = Path(__file__).parents[2] / "docs" / "transcript.md"


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.title)
def test_it_is_run_as_it_stands_but_for_names(command: Command) -> None:
    theirs, ours = _words(command.text)[2:], _words(command.here)[2:]
    differing = [(a, b) for a, b in zip(theirs, ours, strict=True) if a != b]
    assert {b for _, b in differing} <= {"pixart-emoji", "synthetic:sigma-tiny", "fp8_e4m3.json"}
    generate.make_context("generate", list(ours))  # click knows every flag


def _words(text: str) -> list[str]:
    """As a shell reads it."""
    return shlex.split(text.replace("\\\n", ""))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.title)
def test_the_page_shows_what_came_of_it(command: Command) -> None:
    page = _PAGE.read_text(encoding="utf-8")
    section = page.partition(f"## {command.title}\n")[2].partition("\n## ")[0]
    assert f"$ {command.here}\n" in section
    if command.backend:
        assert f"--compiler {command.backend} cannot run" in section
        assert "\n2\n```" in section
    assert "Inference time: " in section
    assert section.rstrip().endswith("\n0\n```")


def test_a_command_is_really_run(tmp_path: Path) -> None:
    lines = list(run_command(COMMANDS[1].here, tmp_path))

    assert lines[1].startswith("$ pixart-tui generate")
    assert lines[-2:] == ["$ echo $?\n0", "```"]
    assert "2> wrote pixart_sigma.png" in lines
    assert (tmp_path / "pixart_sigma.png").exists()
