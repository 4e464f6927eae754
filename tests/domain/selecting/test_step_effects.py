"""Losses with steps kept, from effects whose losses are known."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.profiles.effect_statistics import SampleStatistics
from pixart_tui.domain.profiles.effects import LinearCheck, PackedArray, SampleEffects
from pixart_tui.domain.selecting.step_effects import StepEffects, with_early_shares
from tests.domain.selecting.effects import FP8, by_type, step_effects

_SIZES = ((1.0, 2.0, 3.0), (2.0, 0.5, 0.0))


def _kept(*numbers: int) -> KeptSteps:
    return KeptSteps(numbers=numbers)


def test_without_a_call_its_own_loss_is_gone_where_calls_are_independent() -> None:
    left = by_type(step_effects(_SIZES)).left(_kept(3))
    first, second = (left[name, FP8] for name in step_effects(_SIZES).targets)
    assert first == pytest.approx((1 + 4) / 14, rel=0.1)
    assert second == pytest.approx(1, rel=1e-6)


def test_calls_of_one_sign_add_up_before_they_are_squared() -> None:
    left = by_type(step_effects(_SIZES, coherent=True)).left(_kept(3))
    assert left[step_effects(_SIZES).targets[0], FP8] == pytest.approx((1 + 2) ** 2 / 36, rel=1e-6)


def test_draws_that_end_early_tell_of_the_late_calls_alone() -> None:
    known = step_effects(_SIZES, first=1, whole=2000)
    assert known.whole.mean(axis=0) == pytest.approx([14 * 1.5, 4.25 * 1.5], rel=0.1)
    assert known.losses(np.array([True, False, False])).mean(axis=0) == pytest.approx(
        [1.5, 4 * 1.5], rel=0.15
    )
    assert np.diagonal(known.moments, axis1=1, axis2=2)[0] == pytest.approx(
        [1.5, 4 * 1.5, 9 * 1.5], rel=0.15
    )


@pytest.mark.parametrize("first", [0, 2])
def test_with_every_call_losses_are_those_of_a_profile(first: int) -> None:
    known = step_effects(_SIZES, draws=16, samples=1, first=first)
    sample = SampleEffects(
        prompt="prompt 0",
        seed=0,
        first_calls=tuple(int(x) for x in known.first_calls[0]),
        effects={FP8: PackedArray.of(known.effects[0].astype(np.float32))},
        check=LinearCheck(quant_type=FP8, loss=None, functionals=()),
        elapsed_s=1.0,
    )
    expected = SampleStatistics.of(sample, FP8).losses
    assert known.whole[0] == pytest.approx(expected, rel=1e-5)
    again = StepEffects.of([sample], FP8, known.targets)
    assert again.whole[0] == pytest.approx(expected, rel=1e-5)


def test_large_losses_count_less_where_they_level_off() -> None:
    known = step_effects(_SIZES, samples=1)
    levelled = replace(known, saturations=(float(known.whole[0, 0]),))
    assert levelled.weights[0, 0] == pytest.approx(0.5)
    total = known.moments.sum(axis=(1, 2))
    assert levelled.moments.sum(axis=(1, 2))[0] == pytest.approx(0.5 * total[0])


def test_early_effects_count_as_far_as_they_are_linear() -> None:
    known = step_effects([(1.0, 1.0, 1.0, 1.0)], draws=8)
    found = with_early_shares(known.effects, (1.0, 0.25))
    assert np.array_equal(found[0], known.effects[0])
    assert np.array_equal(found[1][..., 3:], known.effects[1][..., 3:])
    assert found[1][..., :3] == pytest.approx(known.effects[1][..., :3] / 2)


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.floats(0, 3), min_size=5, max_size=5),
    st.integers(1, 4),
    st.booleans(),
)
def test_the_steps_that_are_kept_leave_next_to_the_least(
    sizes: list[float], count: int, coherent: bool
) -> None:
    """Of all sets of five steps; an exchange of two at a time could be better still."""
    known = step_effects([sizes], draws=64, samples=1, coherent=coherent)
    (found,) = by_type(known).best_steps([(known.targets[0], FP8)], (count,))
    assert len(found.numbers) == count

    def left(kept: tuple[int, ...]) -> float:
        quantized = np.array([i not in kept for i in range(5)])
        return float(quantized @ known.moments[0] @ quantized)

    least = min(left(kept) for kept in combinations(range(5), count))
    everything = left(())
    assert left(tuple(x - 1 for x in found.numbers)) <= least + 0.05 * everything + 1e-9


def test_steps_that_are_asked_for_stay_kept() -> None:
    known = step_effects([(0.1, 5.0, 1.0, 4.0)])
    found = by_type(known).best_steps([(known.targets[0], FP8)], (1, 2, 3), _kept(1))
    assert [x.numbers for x in found] == [(1, 2), (1, 2, 4)]


def test_what_is_computed_once_an_image_has_no_steps() -> None:
    known = replace(
        step_effects([(0.0, 0.0, 9.0), (1.0, 0.1, 0.2)]),
        targets=("transformer_blocks.0.attn2.to_k", "proj_out"),
    )
    options = [(target, FP8) for target in known.targets]
    (found,) = by_type(known).best_steps(options, (1,))
    assert found == _kept(1)
    choice = Choice(assignments=dict(options), kept_steps=found)
    expected = known.whole[:, 0] + known.losses(np.array([False, True, True]))[:, 1]
    assert by_type(known).by_sample(choice) == pytest.approx(expected)


def test_a_prediction_adds_up_its_targets_and_an_interval_widens_with_the_prompts() -> None:
    one = step_effects(_SIZES, samples=6)
    other = step_effects([(0.1, 0.1, 0.1), (1.0, 1.0, 1.0)], samples=6, quant_type="int8_dynamic")
    both, (first, second) = by_type(one, other), one.targets
    choice = Choice(
        assignments={first: FP8, second: "int8_dynamic"},
        kept_steps=_kept(3),
        at_every_step=(second,),
    )
    expected = one.losses(np.array([True, True, False]))[:, 0] + other.whole[:, 1]
    assert both.by_sample(choice) == pytest.approx(expected)
    reach = both.reach(choice)
    assert reach is not None
    assert 1.2 < reach < 4
    assert by_type(step_effects(_SIZES, samples=1)).reach(Choice(assignments={first: FP8})) is None
