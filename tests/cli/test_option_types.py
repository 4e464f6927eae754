"""Numbers, text and files that no option takes: a sentence and exit code 2, and no run is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.runs.catalogue import list_runs

_TINY = ("--model", "synthetic:alpha-tiny", "--detach")


@pytest.mark.parametrize(
    "words",
    [
        ["profile", *_TINY, "--guidance-scale", "nan"],
        ["profile", *_TINY, "--guidance-scale", "inf"],
        ["profile", *_TINY, "--cut", "nan"],
        ["profile", *_TINY, "--max-minutes", "nan"],
        ["profile", *_TINY, "--seeds", "1000000000000000000000"],
        ["bench", *_TINY, "--memory-budget", "nan"],
        ["bench", *_TINY, "--memory-budget", "inf"],
        ["bench", *_TINY, "--seed", str(2**70)],
        ["bench", *_TINY, "--matrix", "onediff", "--rows", ","],
        ["generate", "--model", "synthetic:alpha-tiny", "--seed", str(2**64)],
        ["select", "p.json", "--max-loss", "nan"],
        ["compare", *_TINY, "--guidance-scale", "nan"],
    ],
)
def test_values_that_make_no_sense_are_refused_before_a_run(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: ")
    assert len(told.splitlines()) <= 5
    assert not list_runs()


def test_help_names_no_maximum_where_64_bits_are_the_limit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["bench", "--help"]) == 0
    assert str(2**63 - 1) not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["request.json", "worker.json"])
def test_one_file_that_is_nested_too_deeply_hides_no_run(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = tmp_path / "runs"
    monkeypatch.setenv("PIXART_TUI_RUNS", str(runs))
    (runs / "deadbeef").mkdir(parents=True)
    (runs / "deadbeef" / name).write_text("[" * 100_000)
    assert main(["runs"]) == 0
    assert "deadbeef" in capsys.readouterr().out
