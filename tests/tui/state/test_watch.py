"""What reading the runs again and again costs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pixart_tui.domain.events import ArtifactWritten, AttemptFinished, LayerMeasured, SampleMeasured
from pixart_tui.runs import journal as journal_module
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.tui.state import watch as watch_module
from pixart_tui.tui.state.overview import ProfileView
from pixart_tui.tui.state.watch import RunWatch
from tests.tui import adjoint_runs, sample_runs
from tests.tui.sample_runs import QUANT_TYPE


def _read(watch: RunWatch) -> ProfileView:
    view = watch.read().profile
    assert view is not None
    return view


def _known(view: ProfileView) -> int:
    return sum(score.ssim is not None for score in view.scores)


def _layers() -> list[LayerMeasured]:
    return [e for e in sample_runs.profile_events(85) if isinstance(e, LayerMeasured)]


def test_scoring_that_takes_long_waits_and_the_progress_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = sample_runs.running_profile(tmp_path, measured=34)
    monkeypatch.setattr(watch_module, "_SCORING_SHARE", 1e-12)
    watch = RunWatch(time.time)
    assert _known(_read(watch)) == 34

    with JournalWriter(run.paths.events) as journal:
        journal.append(_layers()[34])
    view = _read(watch)
    assert (view.run.done, _known(view)) == (35, 34)

    monkeypatch.setattr(watch_module, "_SCORING_MOST_S", 0.0)
    watch._watched[run.id].score_again_s = 0.0
    assert _known(_read(watch)) == 35


def test_a_sample_is_counted_at_once_and_scored_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch_module, "_SCORING_SHARE", 1e-12)
    plan = adjoint_runs.small(QUANT_TYPE, adjoint_runs.INT8)
    run = adjoint_runs.running(tmp_path, plan, 4)
    watch = RunWatch(time.time)
    before = _read(watch)
    assert (before.run.done, before.run.total, before.run.unit) == (4, 16, "samples")
    assert before.quant_types == (QUANT_TYPE, adjoint_runs.INT8)
    assert [len(figures.samples) for figures in before.figures] == [4, 4]
    assert before.look is not None
    assert before.look.samples == 4

    with JournalWriter(run.paths.events) as journal:
        journal.append(SampleMeasured(sample=plan.samples()[4]))
    after = _read(watch)
    assert after.run.done == 5
    assert after.scores is before.scores

    watch._watched[run.id].score_again_s = 0.0
    scored = _read(watch)
    assert {score.samples for score in scored.scores if score.ssim is not None} == {5}


def test_the_quant_type_that_is_shown_and_those_that_are_chosen_from(tmp_path: Path) -> None:
    plan = adjoint_runs.small(QUANT_TYPE, adjoint_runs.INT8)
    adjoint_runs.running(tmp_path, plan, 2)
    view = _read(RunWatch(time.time))

    other = view.showing(adjoint_runs.INT8)
    assert other.profile is not None
    assert other.profile.conditions.quant_type == adjoint_runs.INT8
    assert other.quant_types == view.quant_types
    assert other.scores != view.scores
    alone = view.only(adjoint_runs.INT8)
    assert alone.quant_types == (adjoint_runs.INT8,)
    assert alone.scores == other.scores
    assert view.only(None) is view.showing("int4_weightonly") is view


def test_the_head_is_there_before_the_figures(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path, measured=34)
    watch = RunWatch(time.time)
    first = watch.read(scored=False).profile
    assert first is not None
    assert (first.run.done, first.scores) == (34, ())
    assert _known(_read(watch)) == 34


def test_a_run_that_was_asked_for_is_open_in_place_of_the_newest(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path, "5a3c0001")
    sample_runs.finished_profile(tmp_path, "5a3c0009")
    newest = _read(RunWatch(time.time)).run.id
    other = {"5a3c0001", "5a3c0009"} - {newest}
    assert {_read(RunWatch(time.time, tuple(other))).run.id} == other


def test_the_end_is_always_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = sample_runs.running_profile(tmp_path, measured=84)
    monkeypatch.setattr(watch_module, "_SCORING_SHARE", 1e-12)
    watch = RunWatch(time.time)
    assert _known(_read(watch)) == 84

    with JournalWriter(run.paths.events) as journal:
        journal.append(_layers()[84])
        journal.append(ArtifactWritten(role="profile", path="x.json"))
        journal.append(AttemptFinished(state="done"))
    assert _known(_read(watch)) == 85


def test_a_reading_parses_only_what_is_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = sample_runs.running_profile(tmp_path, measured=34)
    watch = RunWatch(time.time)
    watch.read()
    parsed: list[bytes] = []
    parse = journal_module._parse

    def counted(line: bytes) -> journal_module.JournalEntry | None:
        parsed.append(line)
        return parse(line)

    monkeypatch.setattr(journal_module, "_parse", counted)
    watch.read()
    assert parsed == []
    with JournalWriter(run.paths.events) as journal:
        journal.append(_layers()[34])
    watch.read()
    assert len(parsed) == 1


def test_an_ended_run_is_not_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = sample_runs.finished_profile(tmp_path)
    watch = RunWatch(time.time)
    overview = watch.read()
    opened: list[Path] = []
    real_open = Path.open

    def counted(path: Path, *arguments: str, **options: str) -> object:
        opened.append(path)
        return real_open(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", counted)
    again = watch.read()

    assert [path for path in opened if path.parent == run.paths.directory] == []
    assert again.profile == overview.profile


def test_the_screen_does_not_wait_for_every_run_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(5):
        sample_runs.finished_profile(tmp_path, f"5a3c01{number:02d}")
    monkeypatch.setattr(watch_module, "_NEW_RUNS_S", -1.0)
    watch = RunWatch(time.time, ["5a3c0103"])
    assert [run.id for run in watch.read().runs] == ["5a3c0103"]

    monkeypatch.setattr(watch_module, "_NEW_RUNS_S", 60.0)
    assert len(watch.read().runs) == 5


def test_of_many_runs_the_newest_are_read_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, profile = sample_runs.bench(tmp_path), sample_runs.finished_profile(tmp_path)
    read: list[str] = []
    follow = watch_module._follow

    def slow(watched: watch_module._Watched) -> None:
        read.append(watched.run.id)
        follow(watched)
        time.sleep(0.05)

    monkeypatch.setattr(watch_module, "_follow", slow)
    monkeypatch.setattr(watch_module, "_NEW_RUNS_S", 0.04)
    watch = RunWatch(time.time)
    assert [run.id for run in watch.read().runs] == [bench.id]
    assert [run.id for run in watch.read().runs] == [bench.id, profile.id]
    assert read == [bench.id, bench.id, profile.id]
