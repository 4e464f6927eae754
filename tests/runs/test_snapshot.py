from __future__ import annotations

from pixart_tui.domain.events import AttemptFinished, Event, LookTaken, SampleMeasured
from pixart_tui.domain.profiles.score import LayerStatus
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.snapshot import RunSnapshot
from tests.runs.builders import measured, planned, started
from tests.samples import QUANT_TYPE
from tests.tui import adjoint_runs


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
    profile = snapshot.profiling.profile
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
    profile = snapshot.profiling.profile
    assert profile is not None
    assert [m.ssim for m in profile.measurements] == [0.9]


def test_a_profile_is_the_same_whichever_replica_was_first() -> None:
    plan = (0.0, planned("a", "b", "c"))
    found = (_fold(plan, *((1.0, measured(fqn)) for fqn in order)) for order in ("abc", "cab"))
    one, other = (snapshot.profiling.profile for snapshot in found)
    assert one is not None
    assert one == other
    assert [measurement.layer for measurement in one.measurements] == ["a", "b", "c"]


def test_a_resumed_attempt_is_not_finished() -> None:
    snapshot = _fold((0, started()), (1, AttemptFinished(state="failed")), (2, started(2)))
    assert snapshot.finished is None


def _adjoint(done: int) -> RunSnapshot:
    return adjoint_runs.snapshot(adjoint_runs.small(QUANT_TYPE, adjoint_runs.INT8), done)


def test_the_adjoint_method_counts_samples_and_scores_every_quant_type() -> None:
    snapshot = _adjoint(6)
    assert (snapshot.done, snapshot.total) == (6, 16)
    assert snapshot.eta_s == 40
    assert snapshot.profiling.images_per_s is None
    assert snapshot.profiling.look is not None
    assert (snapshot.profiling.look.samples, snapshot.profiling.look.outcome) == (4, "")
    assert [p.conditions.quant_type for p in snapshot.profiling.profiles] == [
        QUANT_TYPE,
        adjoint_runs.INT8,
    ]
    assert snapshot.profiling.profile == snapshot.profiling.profile_of(QUANT_TYPE)
    assert snapshot.profiling.profile_of("int4_weightonly") is None
    for profile in snapshot.profiling.profiles:
        scores = profile.scores()
        assert {score.samples for score in scores if score.ssim is not None} == {6}
        assert all(s.these_low is not None for s in scores if s.ssim is not None)


def test_nothing_is_left_to_measure_once_the_last_look_says_so() -> None:
    snapshot = _adjoint(8)
    assert snapshot.total == 16
    assert snapshot.profiling.look is not None
    ended = snapshot.profiling.look.replace(outcome="settled")
    snapshot.apply(JournalEntry(t=1e3, event=LookTaken(look=ended)))
    assert (snapshot.done, snapshot.total) == (8, 8)


def test_a_sample_measured_twice_counts_once() -> None:
    plan = adjoint_runs.small()
    snapshot = adjoint_runs.snapshot(plan, 2)
    again = SampleMeasured(sample=plan.samples()[0].replace(elapsed_s=9.0))
    snapshot.apply(JournalEntry(t=1e3, event=again))
    assert snapshot.done == 2
    assert snapshot.profiling.samples_in_order[0].elapsed_s == 4.0
