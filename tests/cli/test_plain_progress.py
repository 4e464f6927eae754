"""What plain progress says of pace and batches, from journals written here."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.cli.display.plain import describe_batch, show_progress
from pixart_tui.domain.events import AttemptFinished, BatchChosen, StageChanged
from pixart_tui.runs.run import Run
from tests.runs.builders import append, give_worker, measured, new_run, planned, started

_SMALLER = BatchChosen(images=2, reason="the GPU ran out of memory at 4")


def _run(tmp_path: Path) -> Run:
    begun = (started(), planned("a", "b", "c"), BatchChosen(images=4))
    return new_run(tmp_path, *begun, StageChanged(stage="measuring"))


def test_a_batch_is_worth_a_word_only_where_it_had_to_shrink(tmp_path: Path) -> None:
    run = _run(tmp_path)
    assert describe_batch(run) == ""
    append(run, _SMALLER)
    assert describe_batch(run) == "images in a batch: 2; the GPU ran out of memory at 4"


def test_lines_tell_the_batch_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = _run(tmp_path)
    append(run, _SMALLER, measured("a", elapsed_s=0.5), AttemptFinished(state="done"))
    give_worker(run, alive=False)
    show_progress(run)
    assert capsys.readouterr().err.count("out of memory at 4") == 1


def test_a_line_of_progress_has_the_pace(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path)
    append(run, measured("a", elapsed_s=0.5))
    give_worker(run, alive=False)  # stale: shown once, and left
    show_progress(run)
    assert "layers or more are done, 2.00 images/s, about 1 s left" in capsys.readouterr().err
