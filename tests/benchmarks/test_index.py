from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import index


def test_the_index_lists_every_file_of_results() -> None:
    assert index.main(["--check"]) == 0, "run: make tables"
    assert len(index.files()) > 40


def test_every_folder_of_results_answers_a_question() -> None:
    folders = {path.name for path in index.RESULTS.iterdir() if path.is_dir()}
    assert folders == set(index.QUESTIONS)


def test_a_file_that_is_not_listed_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    written = index.INDEX.read_text(encoding="utf-8")
    stale = tmp_path / "README.md"
    stale.write_text(written.replace("[wire-cpu.json]", "[gone.json]"), encoding="utf-8")
    monkeypatch.setattr(index, "INDEX", stale)
    assert index.main(["--check"]) == 1
    told = capsys.readouterr().err
    assert "missing in the index: wire-cpu.json" in told
    assert "only in the index: gone.json" in told
