"""A run of the adjoint method as its journal tells it."""

from __future__ import annotations

from pixart_tui.domain.events import (
    Event,
    LookTaken,
    PassPlanned,
    ProfilePlanned,
    SampleMeasured,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import Look, Outcome
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.snapshot import RunSnapshot
from tests.adjoint_effects import sample_effects
from tests.runs.builders import planned, started
from tests.samples import QUANT_TYPE

_LOSSES = {QUANT_TYPE: [0.1, 0.2], "int8_dynamic": [0.01, 0.02]}
_PLAN = PassPlanned(
    samples=2, draws=4, keeps_hidden_states=True, keeps_weights=True, decoder_at_once=True
)


def _planned() -> ProfilePlanned:
    plan = planned("a", "b")
    changes = {"method": "adjoint", "prompts": ("cat", "dog", "owl"), "seeds": (0, 1)}
    conditions = plan.conditions.replace(**changes)
    return plan.replace(conditions=conditions, more_types={"int8_dynamic": {"b": "shape"}})


def _sample(prompt: str, seed: int = 0) -> SampleEffects:
    return sample_effects(prompt, _LOSSES, seed=seed, draws=2, calls=3)


def _measured(prompt: str, seed: int = 0) -> SampleMeasured:
    return SampleMeasured(sample=_sample(prompt, seed))


def _look(samples: int, outcome: Outcome) -> LookTaken:
    count = 0 if outcome == "settled" else 1
    undecided = {QUANT_TYPE: count}
    return LookTaken(
        look=Look(samples=samples, undecided=undecided, with_twice=undecided, outcome=outcome)
    )


def _fold(*events: Event) -> RunSnapshot:
    snapshot = RunSnapshot()
    for t, event in enumerate((started(), _planned(), *events)):
        snapshot.apply(JournalEntry(t=float(t), event=event))
    return snapshot


def _keys(snapshot: RunSnapshot) -> list[tuple[str, int]]:
    return [(sample.prompt, sample.seed) for sample in snapshot.profiling.samples_in_order]


def test_samples_are_in_the_planned_order_whatever_order_they_came_in() -> None:
    snapshot = _fold(_measured("owl", 1), _measured("owl"), _measured("cat"), _measured("cat", 1))
    assert _keys(snapshot) == [("cat", 0), ("owl", 0), ("cat", 1), ("owl", 1)]
    assert (snapshot.done, snapshot.total) == (4, 6)


def test_a_sample_that_comes_twice_counts_once_and_the_first_stays() -> None:
    again = sample_effects("cat", {QUANT_TYPE: [9.0, 9.0], "int8_dynamic": [9.0, 9.0]}, draws=2)
    snapshot = _fold(_measured("cat"), SampleMeasured(sample=again))
    assert snapshot.profiling.samples_in_order == (_sample("cat"),)


def test_what_a_batch_measured_beyond_the_decision_does_not_count() -> None:
    samples = [_measured("cat"), _measured("dog"), _measured("owl")]
    settled = _fold(*samples, _look(2, "settled"))
    assert _keys(settled) == [("cat", 0), ("dog", 0)]
    for outcome in ("", "time", "spent"):
        assert len(_keys(_fold(*samples, _look(2, outcome)))) == 3


def test_a_decision_that_ends_it_makes_what_is_measured_the_whole() -> None:
    samples = [_measured("cat"), _measured("dog")]
    assert _fold(*samples, _look(2, "")).total == 6
    assert _fold(*samples, _look(2, "settled")).total == 2
    assert _fold(*samples, _look(2, "time")).total == 2


def test_each_quant_type_has_a_profile_from_the_same_samples() -> None:
    snapshot = _fold(_measured("cat"), _measured("dog"))
    assert snapshot.profiling.quant_types == (QUANT_TYPE, "int8_dynamic")
    first, second = snapshot.profiling.profiles
    assert first.conditions.quant_type == QUANT_TYPE
    assert second.conditions.quant_type == "int8_dynamic"
    assert second.excluded == {"b": "shape"}
    assert first.effects == second.effects == snapshot.profiling.samples_in_order
    (one, other) = (profile.scores()[0].loss for profile in (first, second))
    assert one is not None
    assert other is not None
    assert other < one
    assert snapshot.profiling.profile_of("int8_weightonly") is None


def test_why_the_memory_is_used_otherwise_is_remembered() -> None:
    smaller = _PLAN.replace(samples=1, reason="the GPU ran out of memory: x")
    snapshot = _fold(_PLAN, smaller, started(2), _PLAN)
    assert snapshot.profiling.pass_plan == _PLAN.replace(reason=smaller.reason)


def test_time_to_the_end_follows_the_pace_of_samples() -> None:
    measuring = StageChanged(stage=Stage.MEASURING)
    assert _fold(measuring).eta_s is None
    assert _fold(measuring, _measured("cat"), _measured("dog")).eta_s == 4 * 4.0
    assert _fold(measuring, _measured("cat")).profiling.images_per_s is None
