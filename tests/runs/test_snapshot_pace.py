"""The time left and the pace, from journals whose times are made up here."""

from __future__ import annotations

import pytest

from pixart_tui.domain.events import AttemptFinished, BatchChosen, Event, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.snapshot import RunSnapshot
from tests.runs.builders import measured, planned, started

_MEASURING = StageChanged(stage=Stage.MEASURING)
_NAMES = tuple("abcdefghijklmnopqrst")


def _fold(*events: Event) -> RunSnapshot:
    snapshot = RunSnapshot()
    for t, event in enumerate(events):
        snapshot.apply(JournalEntry(t=t, event=event))
    return snapshot


def _begun(replicas: int = 1, layers: int = 10) -> tuple[Event, ...]:
    plan = planned(*_NAMES[:layers]).replace(replicas=replicas)
    return (started(), plan, _MEASURING)


def _layers(*elapsed_s: float, first: int = 0) -> list[Event]:
    return [measured(_NAMES[first + i], elapsed_s=s) for i, s in enumerate(elapsed_s)]


def test_the_first_layer_of_each_replica_is_left_out_once_others_are_known() -> None:
    assert _fold(*_begun(), *_layers(60)).eta_s == 9 * 60
    assert _fold(*_begun(), *_layers(60, 2)).eta_s == 8 * 2
    two_replicas = _fold(*_begun(replicas=2), *_layers(60, 62, 2, 4))
    assert two_replicas.eta_s == 3 * 3


def test_one_slow_layer_does_not_throw_it_off() -> None:
    assert _fold(*_begun(), *_layers(9, 2, 2, 500, 2)).eta_s == 5 * 2


def test_it_follows_the_recent_pace() -> None:
    snapshot = _fold(*_begun(layers=20), *_layers(*[1] * 10), *_layers(*[5] * 9, first=10))
    assert snapshot.eta_s == 5


def test_replicas_work_side_by_side_and_the_last_round_takes_a_whole_layer() -> None:
    assert _fold(*_begun(replicas=4, layers=13), *_layers(9, 9, 9, 9, 8)).eta_s == 2 * 8
    assert _fold(*_begun(replicas=4, layers=14), *_layers(9, 9, 9, 9, 8)).eta_s == 3 * 8


def test_a_resumed_attempt_knows_the_pace_but_not_its_own_warm_up() -> None:
    before = (*_begun(), *_layers(60, 2, 2), AttemptFinished(state="cancelled"))
    waiting = StageChanged(stage=Stage.WAITING)
    assert _fold(*before, started(2), waiting).eta_s is None
    assert _fold(*before, started(2), waiting, _MEASURING).eta_s == 7 * 2
    assert _fold(*before, started(2), _MEASURING, *_layers(90, first=3)).eta_s == 6 * 2
    assert _fold(*before, started(2), _MEASURING, *_layers(90, 2, first=3)).eta_s == 5 * 2


def test_time_between_the_attempts_plays_no_part() -> None:
    snapshot = RunSnapshot()
    events = (*_begun(), *_layers(2, 2), AttemptFinished(state="cancelled"))
    for t, event in enumerate(events):
        snapshot.apply(JournalEntry(t=t, event=event))
    for t, event in enumerate((started(2), _MEASURING, *_layers(2, 2, first=2)), start=100_000):
        snapshot.apply(JournalEntry(t=t, event=event))
    assert snapshot.eta_s == 6 * 2


def test_images_per_second_are_those_of_all_replicas() -> None:
    plan = planned("a", "b", "c")
    two = plan.conditions.replace(prompts=("robot", "cat"), seeds=(0, 1))
    plan = plan.replace(replicas=2, conditions=two)
    assert _fold(started(), plan).profiling.images_per_s is None
    assert _fold(started(), plan, *_layers(0.5)).profiling.images_per_s == pytest.approx(
        2 * 4 / 0.5
    )


def test_the_batch_size_and_its_reason_outlive_an_attempt() -> None:
    assert _fold(started()).profiling.batch is None
    smaller = BatchChosen(images=2, reason="the GPU ran out of memory at 4")
    first = (started(), BatchChosen(images=4), smaller)
    resumed = _fold(*first, started(2), BatchChosen(images=2))
    assert resumed.profiling.batch == smaller
    assert list(resumed.profiling.batch_sizes) == [4, 2]
