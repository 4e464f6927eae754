"""What plain progress says of pace and batches, from journals written here."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.cli.display.plain import show_progress
from pixart_tui.domain.events import AttemptFinished, BatchChosen, PassPlanned, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.runs.memory_use import describe_memory
from pixart_tui.runs.run import Run
from tests.runs.builders import append, give_worker, measured, new_run, planned, started
from tests.tui import adjoint_runs, sample_runs

_SMALLER = BatchChosen(images=2, reason="the GPU ran out of memory at 4")


def _run(tmp_path: Path) -> Run:
    begun = (started(), planned("a", "b", "c"), BatchChosen(images=4))
    return new_run(tmp_path, *begun, StageChanged(stage=Stage.MEASURING))


def test_a_batch_is_worth_a_word_only_where_it_had_to_shrink(tmp_path: Path) -> None:
    run = _run(tmp_path)
    assert describe_memory(run.snapshot) == ""
    append(run, _SMALLER)
    told = "images in a batch: 2; the GPU ran out of memory at 4"
    assert describe_memory(run.snapshot) == told


def test_so_is_a_pass_of_the_adjoint_method(tmp_path: Path) -> None:
    run = adjoint_runs.running(tmp_path)
    run.poll()
    assert describe_memory(run.snapshot) == ""
    smaller = PassPlanned(
        samples=1,
        draws=1,
        keeps_hidden_states=False,
        keeps_weights=False,
        decoder_at_once=False,
        reason="the GPU ran out of memory: 3 GiB",
    )
    append(run, smaller, smaller.replace(reason="", draws=2))
    told = "passes of 1 sample, 2 draws at a time; the GPU ran out of memory: 3 GiB"
    assert describe_memory(run.snapshot) == told


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
    told = "1 of 3 layers are done, 2.00 images/s, about 1 s left"
    assert told in capsys.readouterr().err


def test_the_adjoint_method_tells_samples_and_what_it_decided(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = adjoint_runs.small(seeds=2)
    gone = sample_runs.gone_worker()
    run = adjoint_runs.running(tmp_path, plan, done=5, worker=gone)
    show_progress(run)
    told = capsys.readouterr().err
    assert "measuring: 5 of 8 samples are done, about 12 s left" in told
    assert "after 4 of 8 samples: " in told
