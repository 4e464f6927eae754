"""Estimates and intervals on effects whose variances are known: normal, as given a sample."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from pixart_tui.domain.profiles.effect_statistics import EffectStatistics, SampleStatistics
from pixart_tui.domain.profiles.effects import SampleEffects
from tests.adjoint_effects import Floats, sample_of
from tests.samples import QUANT_TYPE

_REPLICATIONS = 800
"""Layers of one variance, each a replication of the whole experiment."""
_ROUNDS = 6
_WHOLE = 2

_SIZES: list[Sequence[float]] = [(1,), (1, 3), (1, 2, 2, 4), (1, 1, 1, 1, 2, 2, 3, 6)]


def _statistics(samples: Sequence[SampleEffects]) -> EffectStatistics:
    return EffectStatistics.of(samples, QUANT_TYPE)


def _normal(
    draws: int, losses: Sequence[float], early: float = 0.0, seed: int = 0
) -> EffectStatistics:
    """Samples of these losses, the same for every layer; all but two draws leave out a call.

    Args:
        draws: Of each sample.
        losses: Of each sample.
        early: The first call's share; 0 for draws that all reach it.
        seed: Of the effects.
    """
    rng = np.random.default_rng(seed)
    shares = np.sqrt([early or 0.5, 1 - (early or 0.5)])
    first_calls = [0] * _WHOLE + [1 if early else 0] * (draws - _WHOLE)
    samples = []
    for at, loss in enumerate(losses):
        effects = rng.normal(size=(draws, _REPLICATIONS, 2)) * shares * np.sqrt(loss)
        if early:
            effects[_WHOLE:, :, 0] = 0
        samples.append(sample_of(effects, prompt=f"prompt {at}", first_calls=first_calls))
    return _statistics(samples)


def _bias_and_coverage(
    draws: int, losses: Sequence[float], early: float = 0.0
) -> tuple[float, float, float]:
    """How far the losses are from the truth, in the mean; that figure's error; coverage."""
    truth = float(np.mean(losses))
    found = [_normal(draws, losses, early, seed) for seed in range(_ROUNDS)]
    estimates = np.concatenate([x.losses for x in found])
    ends = [x.of_these_images() for x in found]
    held = np.mean([(low <= truth) & (truth <= high) for low, high in ends])
    error = float(estimates.std()) / np.sqrt(len(estimates))
    return float(estimates.mean()) - truth, error, float(held)


@pytest.mark.parametrize("draws", [4, 8, 16])
@pytest.mark.parametrize("losses", _SIZES, ids=len)
def test_losses_are_unbiased_and_intervals_hold_them_95_times_of_100(
    draws: int, losses: Sequence[float]
) -> None:
    bias, error, held = _bias_and_coverage(draws, losses)
    assert abs(bias) < 4 * error
    # Shares of samples that are estimated from four draws cost up to two of a hundred.
    assert (0.92 if draws == 4 else 0.93) < held < 0.97


@pytest.mark.parametrize("early", [0.003, 0.03])
@pytest.mark.parametrize("draws", [8, 16])
@pytest.mark.parametrize("losses", _SIZES, ids=len)
def test_draws_of_two_depths_are_unbiased_and_their_intervals_hold(
    draws: int, losses: Sequence[float], early: float
) -> None:
    bias, error, held = _bias_and_coverage(draws, losses, early)
    assert abs(bias) < 4 * error
    assert 0.93 < held < 0.98


def test_short_draws_are_worth_nearly_as_much_as_whole_ones() -> None:
    whole, two_depths, two = _normal(16, [1]), _normal(16, [1], 0.003), _normal(2, [1])
    spreads = [float(found.losses.std()) for found in (whole, two_depths, two)]
    assert spreads[1] == pytest.approx(spreads[0], rel=0.1)
    assert spreads[1] < 0.5 * spreads[2]
    assert float(np.mean(two_depths.degrees)) > 13


def test_degrees_of_freedom_lie_between_one_samples_and_all_draws() -> None:
    (one,) = {round(float(x), 6) for x in _normal(8, [1]).degrees}
    assert one == 8
    equal, unequal = (float(np.mean(_normal(8, x).degrees)) for x in ([1] * 4, [1, 1, 1, 30]))
    assert equal == pytest.approx(32, rel=0.05)
    assert 8 < unequal < 0.5 * equal


@pytest.mark.parametrize("spread", [0.3, 0.7])
@pytest.mark.parametrize("prompts", [4, 8, 16])
def test_intervals_for_other_prompts_hold_the_mean_of_the_kind(prompts: int, spread: float) -> None:
    """Prompts of log-normal losses, each measured with 16 draws."""
    rng = np.random.default_rng(1)
    samples = []
    for at in range(prompts):
        losses = np.exp(rng.normal(0, spread, _REPLICATIONS))
        effects = rng.normal(size=(16, _REPLICATIONS, 1)) * np.sqrt(losses)[:, None]
        samples.append(sample_of(effects, prompt=f"prompt {at}"))
    others = _statistics(samples).of_other_prompts()
    assert others is not None
    truth = np.exp(spread**2 / 2)
    assert 0.90 <= np.mean((others[0] <= truth) & (truth <= others[1])) <= 0.98


def test_seeds_of_one_prompt_say_nothing_of_other_prompts() -> None:
    rng = np.random.default_rng(2)
    samples = [sample_of(rng.normal(size=(4, 3, 1)), seed=seed) for seed in range(3)]
    assert _statistics(samples).of_other_prompts() is None
    other = sample_of(rng.normal(size=(4, 3, 1)), prompt="another")
    assert _statistics([*samples, other]).of_other_prompts() is not None


def test_one_sample_of_one_draw_has_an_estimate_and_a_wide_interval() -> None:
    found = _statistics([sample_of([[[3.0, -1.0], [0.5, 0.0]]])])
    assert found.losses.tolist() == [4.0, 0.25]
    low, high = found.of_these_images()
    assert (low < found.losses).all()
    assert (high > 100 * found.losses).all()
    assert not found.told_apart(0, np.array([1]))[0]


def test_effects_of_calls_add_before_they_are_squared() -> None:
    found = _statistics([sample_of([[[1.0, 2.0], [1.0, -1.0]], [[-1.0, -2.0], [2.0, -2.0]]])])
    assert found.losses.tolist() == [9.0, 0.0]
    np.testing.assert_allclose(found.steps, [[0.2, 0.8], [0.5, 0.5]])


def test_a_layer_that_is_not_finite_stays_so_and_disturbs_no_other() -> None:
    rng = np.random.default_rng(3)
    effects = [rng.normal(size=(6, 5, 4)) for _ in range(3)]
    checks = [tuple(x[:, [0, 1, 3, 4]].sum(axis=(1, 2))) for x in effects]
    calm = _statistics([sample_of(np.delete(x, 2, axis=1)) for x in effects])
    for x in effects:
        x[:, 2] = np.nan
    # It may be finite in some samples.
    effects[0][:, 2] = 1
    checks[0] = tuple(effects[0].sum(axis=(1, 2)))
    found = _statistics([sample_of(x, functionals=c) for x, c in zip(effects, checks, strict=True)])
    others = np.array([0, 1, 3, 4])
    assert np.isnan(found.losses[2])
    np.testing.assert_allclose(found.losses[others], calm.losses)
    np.testing.assert_allclose(found.degrees[others], calm.degrees)
    for mine, its in zip(found.of_these_images(), calm.of_these_images(), strict=True):
        assert np.isnan(mine[2])
        np.testing.assert_allclose(mine[others], its)
    assert [x.linearity.saturation for x in found.samples] == [np.inf] * 3
    apart = found.told_apart(0, others[1:])
    np.testing.assert_array_equal(apart, calm.told_apart(0, np.arange(1, 4)))
    assert not found.told_apart(0, np.array([2]))[0]


def _checked(scale: float, quant_type: str = QUANT_TYPE) -> SampleEffects:
    """A sample whose image changes by this much of what the effects say."""
    effects = np.random.default_rng(4).normal(size=(8, 5, 3)).astype(np.float32)
    changes = scale * effects.astype(np.float64).sum(axis=(1, 2))
    return sample_of(effects, functionals=tuple(changes), quant_type=quant_type)


def test_in_the_linear_range_a_sample_counts_as_it_is() -> None:
    for scale in (1.0, 0.8, 3.0):
        found = SampleStatistics.of(_checked(scale), QUANT_TYPE)
        np.testing.assert_array_equal(found.weights, 1)
        assert found.measured_loss == pytest.approx(scale**2 * found.predicted_loss)
        assert found.nonlinear == pytest.approx((1 - 1 / scale) ** 2)


def test_beyond_it_losses_level_off_where_the_image_did() -> None:
    """A loss as large as that of all layers together comes out as what was measured of them."""
    sample = _checked(0.1)
    found = SampleStatistics.of(sample, QUANT_TYPE)
    predicted, saturation = found.predicted_loss, found.linearity.saturation
    assert predicted / (1 + predicted / saturation) == pytest.approx(found.measured_loss)
    counted = found.losses / (1 + found.losses / saturation)
    both = _statistics([sample, sample_of(np.ones((8, 5, 3)), prompt="another")])
    np.testing.assert_allclose(both.losses, (counted + 9) / 2)


def test_a_small_loss_counts_whole_even_out_of_the_linear_range() -> None:
    effects = np.random.default_rng(4).normal(size=(8, 5, 3)).astype(np.float32)
    effects[:, 2] /= 1000
    changes = 0.1 * effects.astype(np.float64).sum(axis=(1, 2))
    found = SampleStatistics.of(sample_of(effects, functionals=tuple(changes)), QUANT_TYPE)
    assert found.weights[2] > 0.99
    assert found.weights[0] < 0.2


def test_where_an_image_levels_off_holds_for_every_quant_type() -> None:
    """The check is of the coarsest type alone."""
    checked = _checked(0.1)
    coarse = checked.effects[QUANT_TYPE]
    fine = sample_of(0.01 * coarse.array()).effects[QUANT_TYPE]
    sample = checked.replace(effects={QUANT_TYPE: coarse, "int8_dynamic": fine})
    found = {name: SampleStatistics.of(sample, name) for name in sample.effects}
    other = found["int8_dynamic"]
    assert other.linearity == found[QUANT_TYPE].linearity
    assert (other.weights > found[QUANT_TYPE].weights).all()
    assert (other.measured_loss, other.nonlinear) == (None, None)


def _early(first_calls: Sequence[int], scale: float) -> SampleEffects:
    """A sample whose image with early errors alone has this part of the loss that is predicted."""
    effects = np.random.default_rng(4).normal(size=(8, 5, 4)).astype(np.float32)
    whole = np.array(first_calls) == 0
    effects[~whole, :, :3] = 0
    by_layer = effects.astype(np.float64)[whole, :, :3].sum(axis=2)
    predicted = np.square(by_layer).sum(axis=1).mean()
    sample = sample_of(effects, functionals=[1.0] * 8, first_calls=first_calls)
    check = sample.check.replace(early_loss=float(scale * predicted))
    return sample.replace(check=check)


@pytest.mark.parametrize("first_calls", [[0] * 8, [0, 0, *[3] * 6]])
def test_early_calls_out_of_the_linear_range_count_as_was_measured_of_them(
    first_calls: list[int],
) -> None:
    for scale, share in ((1.0, 1.0), (0.6, 1.0), (3.0, 1.0), (0.04, 0.04)):
        found = SampleStatistics.of(_early(first_calls, scale), QUANT_TYPE)
        assert found.early_share == pytest.approx(share)


def test_an_image_that_is_not_finite_bounds_nothing() -> None:
    found = SampleStatistics.of(sample_of(np.ones((4, 2, 1))), QUANT_TYPE)
    np.testing.assert_array_equal(found.weights, 1)
    assert (found.measured_loss, found.nonlinear) == (None, None)


def test_the_nonlinear_part_widens_the_interval_of_these_images() -> None:
    """More draws do not help against it, and a small loss has less of it."""
    effects = np.random.default_rng(4).normal(size=(256, 5, 3)).astype(np.float32)
    effects[:, 4] /= 100
    linear = effects.astype(np.float64).sum(axis=(1, 2))
    bent = linear + 0.5 * linear.std() * np.random.default_rng(5).normal(size=256)
    calm, doubtful = (
        _statistics([sample_of(effects, functionals=tuple(x))]) for x in (linear, bent)
    )
    reach = [np.log(x.of_these_images()[1] / x.losses) for x in (calm, doubtful)]
    assert reach[1][0] > 1.5 * reach[0][0]
    assert reach[1][4] < 1.01 * reach[0][4]


def test_out_of_the_linear_range_even_a_small_loss_is_in_doubt() -> None:
    """By half the logarithm of how far the sum of single losses is beyond the range."""
    effects = np.random.default_rng(4).normal(size=(256, 5, 3)).astype(np.float32)
    effects[:, 4] /= 100
    linear = effects.astype(np.float64).sum(axis=(1, 2))
    calm, forked = (
        SampleStatistics.of(sample_of(effects, functionals=tuple(x * linear)), QUANT_TYPE)
        for x in (0.8, 0.1)
    )
    assert calm.linearity.divergence_doubt == 0
    measured = 0.01 * np.square(linear).mean()
    doubt = np.log(forked.losses.sum() / (2 * measured)) / 2
    assert forked.nonlinear_doubt[4] == pytest.approx(doubt, rel=1e-3)
    assert forked.nonlinear_doubt[4] > 50 * calm.nonlinear_doubt[4]


_PAIRS = arrays.arrays(np.float64, (8, 2), elements=st.floats(-1, 1, width=32))


@given(_PAIRS)
def test_layers_that_differ_tenfold_are_told_apart_from_8_degrees_on(pair: Floats) -> None:
    sizes = np.sqrt(np.square(pair).mean(axis=0))
    if sizes.min() < 1e-3:
        return
    scaled = pair / sizes * np.sqrt([1.0, 10.0])
    found = _statistics([sample_of(scaled[:, :, None])])
    assert found.told_apart(0, np.array([1]))[0]


@given(_PAIRS, st.floats(0.5, 0.999), st.floats(1, 8))
def test_telling_apart_goes_both_ways(pair: Floats, confidence: float, more: float) -> None:
    found = _statistics([sample_of(pair[:, :, None])])
    one, other = np.array([0]), np.array([1])
    there = found.told_apart(0, other, confidence, more)
    assert there.tolist() == found.told_apart(1, one, confidence, more).tolist()
    if there[0]:
        assert found.told_apart(0, other, confidence, 2 * more)[0]


def _false_alarms(correlation: float, losses: Sequence[float], early: float) -> float:
    """How often two layers of one loss are told apart."""
    rng, count, draws = np.random.default_rng(5), 500, 8
    samples = []
    for at, loss in enumerate(losses):
        one, rest = rng.normal(size=(2, draws, count, 2))
        other = correlation * one + np.sqrt(1 - correlation**2) * rest
        effects = np.concatenate([one, other], axis=1) * np.sqrt([early, 1 - early])
        effects[_WHOLE:, :, 0] *= not early
        first_calls = [0] * _WHOLE + [1] * (draws - _WHOLE)
        effects *= np.sqrt(loss)
        samples.append(sample_of(effects, prompt=str(at), first_calls=first_calls))
    found = _statistics(samples)
    told = [found.told_apart(i, np.array([count + i]))[0] for i in range(count)]
    return float(np.mean(told))


@pytest.mark.parametrize("correlation", [-0.9, 0.0, 0.6, 0.95])
@pytest.mark.parametrize("losses", _SIZES[:3], ids=len)
@pytest.mark.parametrize("early", [0.0, 0.03])
def test_equal_layers_are_told_apart_5_times_of_100_at_most(
    correlation: float, losses: Sequence[float], early: float
) -> None:
    # Three standard deviations of a share of 5% over 500 pairs.
    assert _false_alarms(correlation, losses, early) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 500)


def test_correlated_layers_are_told_apart_sooner() -> None:
    rng = np.random.default_rng(6)
    one = rng.normal(size=(8, 1))
    close = np.concatenate([one, 1.3 * one + 0.01 * rng.normal(size=(8, 1))], axis=1)
    apart = np.concatenate([one, 1.3 * rng.normal(size=(8, 1))], axis=1)
    found: list[npt.NDArray[np.bool_]] = [
        _statistics([sample_of(x[:, :, None])]).told_apart(0, np.array([1])) for x in (close, apart)
    ]
    assert [bool(x[0]) for x in found] == [True, False]
