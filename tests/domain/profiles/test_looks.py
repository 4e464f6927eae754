"""Decisions after fixed numbers of samples, on effects whose variances are known."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.profiles.effect_statistics import EffectStatistics
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import Look, look_at, look_sizes, undecided_layers
from tests.adjoint_effects import sample_of
from tests.samples import QUANT_TYPE

_CLEAR = (1e-6, 1e-5, 1e-1, 1.0)


def _samples(
    losses: Sequence[float], count: int, seed: int = 0, draws: int = 8
) -> list[SampleEffects]:
    rng, scale = np.random.default_rng(seed), np.sqrt(losses)[:, None]
    effects = (rng.normal(size=(draws, len(losses), 1)) * scale for _ in range(count))
    return [sample_of(x, prompt=f"prompt {at}") for at, x in enumerate(effects)]


def _look(
    samples: Sequence[SampleEffects],
    planned: int = 16,
    *,
    cut: float = 50,
    until_settled: bool = True,
    out_of_time: bool = False,
) -> Look:
    types = tuple(samples[0].effects)
    return look_at(
        samples, types, cut, planned, until_settled=until_settled, out_of_time=out_of_time
    )


@given(st.integers(1, 3000))
def test_decisions_fall_at_4_and_at_doubles_and_at_the_end(samples: int) -> None:
    sizes = look_sizes(samples)
    assert sizes[0] == min(4, samples)
    assert sizes[-1] == samples
    assert all(after == 2 * before for before, after in pairwise(sizes[:-1]))
    assert all(before < after for before, after in pairwise(sizes))


@given(st.integers(4, 1000), st.integers(4, 1000))
def test_more_samples_move_no_earlier_decision(one: int, other: int) -> None:
    few, many = sorted((one, other))
    assert set(look_sizes(few)[:-1]) <= set(look_sizes(many))


def test_a_clear_cut_settles() -> None:
    look = _look(_samples(_CLEAR, 4))
    assert (look.samples, look.undecided, look.outcome) == (4, {QUANT_TYPE: 0}, "settled")
    assert look.settled


def test_a_settled_cut_ends_nothing_where_every_sample_is_wanted() -> None:
    look = _look(_samples(_CLEAR, 4), until_settled=False)
    assert (look.settled, look.outcome) == (True, "")


def test_ties_across_the_cut_are_undecided_on_both_sides() -> None:
    look = _look(_samples((1e-6, 1.0, 1.0, 1.0, 1e-6, 1.0), 4))
    # Three are chosen: the two quiet ones, and one of four that are alike.
    assert look.undecided == {QUANT_TYPE: 4}
    assert look.outcome == ""


def test_what_is_tied_on_one_side_only_is_decided() -> None:
    assert _look(_samples((1e-6, 1e-6, 1.0, 1.0), 4)).settled
    assert not _look(_samples((1e-6, 1e-6, 1.0, 1.0), 4), cut=25).settled


@pytest.mark.parametrize("cut", [0, 100])
def test_all_or_none_needs_no_decision(cut: float) -> None:
    assert _look(_samples((1.0, 1.0, 1.0), 4), cut=cut).settled


def test_when_every_sample_is_measured_they_are_spent() -> None:
    for losses in (_CLEAR, (1.0, 1.0)):
        assert _look(_samples(losses, 5), planned=5).outcome == "spent"


def test_time_ends_it_but_for_a_cut_that_is_settled() -> None:
    assert _look(_samples((1.0, 1.0), 5), out_of_time=True).outcome == "time"
    assert _look(_samples(_CLEAR, 5), out_of_time=True).outcome == "settled"
    assert _look(_samples(_CLEAR, 5), out_of_time=True, until_settled=False).outcome == "time"


def test_each_quant_type_has_a_cut_of_its_own() -> None:
    clear, tied = _samples(_CLEAR, 4), _samples((1.0,) * 4, 4)
    both = [
        a.replace(effects={QUANT_TYPE: a.effects[QUANT_TYPE], "int8_dynamic": x})
        for a, b in zip(clear, tied, strict=True)
        for x in b.effects.values()
    ]
    look = _look(both)
    assert look.undecided[QUANT_TYPE] == 0
    assert look.undecided["int8_dynamic"] > 0
    assert look.outcome == ""


def test_layers_without_figures_are_no_part_of_the_decision() -> None:
    samples = []
    for sample in _samples(_CLEAR, 4):
        effects = np.insert(sample.effects[QUANT_TYPE].array(), 1, np.nan, axis=1)
        samples.append(sample_of(effects, prompt=sample.prompt))
    assert _look(samples).undecided == {QUANT_TYPE: 0}


@given(st.permutations(range(6)))
def test_the_order_of_the_samples_decides_nothing(order: list[int]) -> None:
    samples = _samples((1.0, 1.5, 3.0, 6.0, 8.0), 6)
    assert _look([samples[i] for i in order]) == _look(samples)


@given(st.lists(st.floats(0, 3), min_size=2, max_size=9), st.integers(0, 100), st.integers(0, 9))
def test_twice_the_samples_leave_no_more_undecided(
    exponents: list[float], cut: int, seed: int
) -> None:
    samples = _samples([10**x for x in exponents], 4, seed)
    look = _look(samples, cut=cut)
    assert look.with_twice[QUANT_TYPE] <= look.undecided[QUANT_TYPE]
    found = EffectStatistics.of(samples, QUANT_TYPE)
    assert undecided_layers(found, cut, 0.95, 2.0) <= undecided_layers(found, cut, 0.95)
    # A stricter confidence decides less.
    assert undecided_layers(found, cut, 0.95) <= undecided_layers(found, cut, 0.99)


def test_looking_often_settles_equal_layers_5_times_of_100_at_most() -> None:
    """Over all looks together: each alone is stricter."""
    planned, count = 64, 400
    wrong = 0
    for seed in range(count):
        samples = _samples((1.0, 1.0), planned, seed, draws=4)
        looks = [_look(samples[:size], planned) for size in look_sizes(planned)]
        wrong += any(look.settled for look in looks)
    assert wrong / count < 0.05 + 3 * np.sqrt(0.05 * 0.95 / count)
    assert wrong > 0
