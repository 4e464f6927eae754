from __future__ import annotations

import numpy as np
import pytest

from pixart_tui.domain.profiles.effect_statistics import EffectStatistics, parts_together
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.selecting.step_effects import StepEffects
from pixart_tui.reporting.step_shares import percentages, steps_of, strip
from tests.adjoint_effects import sample_of
from tests.samples import QUANT_TYPE, conditions, layer

_LAYERS = ("to_q", "proj_out", "tiny")


def _profile(effects: list[list[list[float]]], **changes: object) -> Profile:
    return Profile(
        conditions=conditions().replace(method="adjoint", **changes),
        layers=tuple(layer(fqn) for fqn in _LAYERS),
        excluded={},
        measurements=(),
        effects=(sample_of(effects, quant_type=QUANT_TYPE),),
    )


_NONE = [float("nan")] * 2
_EFFECTS = [[[3.0, 1.0], [1.0, 0.0], _NONE], [[-3.0, -1.0], [0.0, 1.0], _NONE]]


def test_all_layers_together_count_by_their_losses() -> None:
    parts = np.array([[0.9, 0.1], [0.5, 0.5], [np.nan, np.nan]])
    found = parts_together(parts, np.array([16.0, 1.0, np.nan]))
    np.testing.assert_allclose(found, [14.9 / 17, 2.1 / 17])


def test_a_run_and_its_file_say_the_same() -> None:
    profile = _profile(_EFFECTS)
    of_run = steps_of(profile, profile.effect_statistics())
    of_file = steps_of(profile, StepEffects.of(profile.effects, QUANT_TYPE, _LAYERS))
    assert of_run is not None
    assert of_file is not None
    assert of_run.by_layer["to_q"] == pytest.approx((0.9, 0.1))
    assert of_run.by_layer["proj_out"] == pytest.approx((0.5, 0.5))
    assert "tiny" not in of_run.by_layer
    assert of_run.together == pytest.approx((14.9 / 17, 2.1 / 17))
    assert of_file.together == pytest.approx(of_run.together)


def test_draws_that_end_early_count_for_the_calls_that_they_reached() -> None:
    effects = [[[2.0, 1.0]], [[0.0, 3.0]]]
    sample = sample_of(effects, quant_type=QUANT_TYPE, first_calls=(0, 1))
    expected = np.array([[4.0, 5.0]]) / 9
    np.testing.assert_allclose(EffectStatistics.of([sample], QUANT_TYPE).steps, expected)
    np.testing.assert_allclose(StepEffects.of([sample], QUANT_TYPE, ["a"]).steps, expected)


def test_there_are_none_without_effects() -> None:
    profile = _profile(_EFFECTS)
    assert steps_of(profile, None) is None
    nothing = _profile([[[0.0, 0.0]] * 3])
    assert steps_of(nothing, nothing.effect_statistics()) is None


def test_the_words_name_the_step_that_matters_most_and_calls_as_calls() -> None:
    profile = _profile(_EFFECTS, num_calls=2)
    found = steps_of(profile, profile.effect_statistics())
    assert found is not None
    assert found.summary == "effect of all layers by call: █▂, most at call 1 of 2 (88%)"
    assert list(found.lines) == ["  from call 1, %: 88  12"]
    names = [name for name, _ in found.rows(["proj_out", "tiny"])]
    assert names == ["all layers", "proj_out"]


def test_a_strip_has_a_character_for_each_step() -> None:
    assert strip((0.0, 0.5, 1.0)) == "▁▅█"
    assert strip((0.0, 0.0)) == "▁▁"
    assert percentages((0.004, 0.0995, 0.5)) == ("0.4", "10", "50")
