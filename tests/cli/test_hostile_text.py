"""Every plain display with text that is markup, controls terminals, or is no text at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.events import (
    ArtifactWritten,
    AttemptFinished,
    Event,
    Failure,
    Noticed,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.run import Run
from tests.runs.builders import append, give_worker, measured, planned, started

_TEXT: Final = "[/INST] [red]apple :smile: \x1b[31mé→\x1b]0;x\x07 \x9b1m\r\u202e…"
_BYTES: Final = "out[v2]/caf\udce9\x1b[31m.json"
_ACTED_ON: Final = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]")
_ENCODINGS: Final = ("utf-8", "latin-1", "ascii")
_COMMANDS: Final = (
    ["runs"],
    ["runs", "--json"],
    ["attach", "last", "--display", "plain"],
    ["attach", "last", "--display", "json"],
    ["report", "last", "--format", "markdown"],
    ["cache", "info"],
    ["attach", f"{_TEXT}[/]"],
    ["compare", "--layer", _TEXT, "--device", _TEXT],
    ["--help"],
)


def _run(tmp_path: Path) -> Run:
    """A failed run, everything in it hostile."""
    request = ProfileRequest(
        method="exhaustive", output=str(tmp_path / _BYTES), device="cpu", model=f"m{_TEXT}"
    )
    run = create_run(request)
    plan = planned(f"a{_TEXT}", "b")
    conditions = plan.conditions.replace(model=_TEXT, prompts=(_TEXT,))
    events: tuple[Event, ...] = (
        started(),
        plan.replace(conditions=conditions),
        StageChanged(stage=Stage.MEASURING, detail=_TEXT),
        Noticed(text=_TEXT),
        measured(f"a{_TEXT}"),
        ArtifactWritten(role="profile", path=str(tmp_path / _BYTES)),
        AttemptFinished(state="failed", failure=Failure(title=_TEXT, cause=_TEXT, exit_code=1)),
    )
    append(run, *events)
    give_worker(run, alive=False)
    return run


def _output(words: list[str], **environment: str) -> tuple[int, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "pixart_tui", *words],
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("words", _COMMANDS, ids=" ".join)
@pytest.mark.parametrize("encoding", _ENCODINGS)
def test_text_is_shown_and_not_obeyed_in_every_encoding(
    tmp_path: Path, words: list[str], encoding: str
) -> None:
    _run(tmp_path)

    code, output = _output(words, PYTHONIOENCODING=encoding)

    text = output.decode(encoding)
    assert code in {0, 1, 2}
    assert "Traceback" not in text
    assert not _ACTED_ON.findall(text)
    if "last" in words and "json" not in words:
        assert "[/INST]" in text.replace("\\", "")


@pytest.mark.parametrize("words", [["runs"], ["attach", "last"], ["doctor"], ["profile", "-h"]])
def test_a_locale_of_ascii_names_and_shows_the_same(tmp_path: Path, words: list[str]) -> None:
    _run(tmp_path)

    code, output = _output(words, LC_ALL="C", PYTHONUTF8="0")

    assert code in {0, 1}
    assert b"Traceback" not in output
    assert output.isascii()


def test_the_journal_keeps_a_name_that_is_not_utf8(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path)
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["output"] == str(tmp_path / _BYTES)
    assert Run.open(run.paths.directory).record == run.record


@pytest.mark.parametrize(
    "words",
    [
        ["profile", "--prompt", "caf\udce9"],
        ["compare", "--negative-prompt", "caf\udce9"],
        ["generate", "--prompt", "caf\udce9"],
        ["compare", "--layer", "caf\udce9"],
        ["bench", "--rows", "caf\udce9"],
        ["attach", "caf\udce9"],
        ["cache", "info", "--device", "caf\udce9"],
        ["select", "caf\udce9.json"],
        ["report", "caf\udce9.json"],
        ["profile", "--prompts-file", "caf\udce9"],
        ["profile", "--model", "./caf\udce9"],
        ["compare", "caf\udce9.png", "b.png"],
        ["--caf\udce9"],
        ["caf\udce9"],
    ],
    ids=ascii,
)
def test_bytes_that_are_no_text_are_refused_in_a_sentence(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "\\xe9" in err or "\\udce9" in err


def test_utf8_is_text_even_where_the_locale_knows_less() -> None:
    code, output = _output(["attach", "café"], LC_ALL="C", PYTHONUTF8="0")
    assert code == 2
    assert b"there are no runs" in output
