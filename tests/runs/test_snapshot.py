from __future__ import annotations

from pixart_tui.domain.events import AttemptFinished, Event
from pixart_tui.domain.profile import LayerStatus
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.snapshot import RunSnapshot
from tests.runs.builders import measured, planned, started


def _fold(*events: tuple[float, Event]) -> RunSnapshot:
    snapshot = RunSnapshot()
    for t, event in events:
        snapshot.apply(JournalEntry(t=t, event=event))
    return snapshot


def test_progress_counts_only_layers_that_can_be_measured() -> None:
    snapshot = _fold(
        (0, started()), (1, planned("a", "b", "c", excluded={"c": "shape"})), (2, measured("a"))
    )
    assert (snapshot.done, snapshot.total) == (1, 2)
    profile = snapshot.profile
    assert profile is not None
    assert [s.status for s in profile.scores()] == [
        LayerStatus.MEASURED,
        LayerStatus.PENDING,
        LayerStatus.EXCLUDED,
    ]


def test_there_is_no_eta_before_the_first_layer_nor_after_the_end() -> None:
    assert _fold((0, started()), (1, planned("a"))).eta_s is None
    ended = (2, AttemptFinished(state="cancelled"))
    assert _fold((0, started()), (0, planned("a", "b")), (1, measured("a")), ended).eta_s is None


def test_work_time_leaves_out_the_time_between_attempts() -> None:
    snapshot = _fold((100, started()), (110, planned("a")), (500, started(2)), (503, measured("a")))
    assert snapshot.worked_s == 13


def test_a_layer_measured_twice_counts_once_and_the_first_stays() -> None:
    snapshot = _fold(
        (0, started()), (1, planned("a")), (2, measured("a", 0.9)), (3, measured("a", 0.5))
    )
    profile = snapshot.profile
    assert profile is not None
    assert [m.ssim for m in profile.measurements] == [0.9]


def test_a_resumed_attempt_is_not_finished() -> None:
    snapshot = _fold((0, started()), (1, AttemptFinished(state="failed")), (2, started(2)))
    assert snapshot.finished is None
