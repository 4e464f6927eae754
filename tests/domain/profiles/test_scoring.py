"""Scores that follow from effects."""

from __future__ import annotations

import numpy as np
import pytest

from pixart_tui.domain.profiles.effect_statistics import EffectStatistics
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from tests.adjoint_effects import Floats, sample_of
from tests.samples import QUANT_TYPE, conditions, layer

_NAMES = ("loud", "reference", "quiet", "broken", "odd")
_EXCLUDED = {"odd": "K is not a multiple of 16"}


def _effects(seed: int) -> Floats:
    """Two layers that cannot be told apart, a quiet one, one with NaN, one that is excluded."""
    rng = np.random.default_rng(seed)
    effects = rng.normal(size=(8, 5, 3)) * np.sqrt([1e-2, 1e-2, 1e-5, 1, 1])[:, None]
    effects[:, 3:] = np.nan
    return effects


def _profile(*samples: SampleEffects) -> Profile:
    return Profile(
        conditions=conditions().replace(method="adjoint", draws=8),
        layers=tuple(layer(fqn) for fqn in _NAMES),
        excluded=_EXCLUDED,
        measurements=(),
        effects=samples,
    )


def _scores(*samples: SampleEffects) -> dict[str, LayerScore]:
    return {score.layer.fqn: score for score in _profile(*samples).scores()}


_FOUR = [sample_of(_effects(i), prompt=f"prompt {i}") for i in range(4)]


def test_every_layer_has_a_status_in_the_models_order() -> None:
    scores = _scores(*_FOUR)
    assert tuple(scores) == _NAMES
    assert [score.status for score in scores.values()] == [
        *[LayerStatus.MEASURED] * 3,
        LayerStatus.NOT_FINITE,
        LayerStatus.EXCLUDED,
    ]
    assert scores["odd"].reason == _EXCLUDED["odd"]
    for fqn in ("broken", "odd"):
        assert (scores[fqn].ssim, scores[fqn].rank, scores[fqn].these_low) == (None, None, None)
    assert scores["broken"].samples == scores["loud"].samples == 4


def test_figures_are_those_of_the_statistics() -> None:
    found = EffectStatistics.of(_FOUR, QUANT_TYPE)
    others = found.of_other_prompts()
    assert others is not None
    for at, fqn in enumerate(_NAMES[:3]):
        score = _scores(*_FOUR)[fqn]
        assert score.loss == pytest.approx(found.losses[at])
        assert score.degrees == pytest.approx(found.degrees[at])
        low, high = found.of_these_images()
        assert (score.these_low, score.these_high) == (1 - high[at], 1 - low[at])
        assert (score.ssim_low, score.ssim_high) == (1 - others[1][at], 1 - others[0][at])
        assert (score.ssim_std, score.psnr_db, score.latent_mse) == (None, None, None)


def test_one_prompt_has_the_interval_of_its_images() -> None:
    score = _scores(_FOUR[0])["loud"]
    assert (score.ssim_low, score.ssim_high) == (score.these_low, score.these_high)


def test_layers_that_cannot_be_told_apart_are_ties_even_on_one_image() -> None:
    for samples in (_FOUR, _FOUR[:1]):
        scores = _scores(*samples)
        assert {scores["loud"].rank, scores["reference"].rank} == {1, 2}
        assert scores["loud"].tied_from == scores["reference"].tied_from == 1
        assert scores["loud"].tied
        assert scores["reference"].tied
        assert (scores["quiet"].rank, scores["quiet"].tied_from) == (3, 3)
        assert not scores["quiet"].tied


def test_a_profile_of_another_quant_type_has_its_own_scores() -> None:
    (packed,) = sample_of(2 * _effects(0)).effects.values()
    both = {**_FOUR[0].effects, "int8_dynamic": packed}
    sample = _FOUR[0].replace(effects=both)
    first = _profile(sample)
    conditions = first.conditions.replace(quant_type="int8_dynamic")
    second = first.replace(conditions=conditions)
    losses = [x.scores()[0].loss for x in (first, second)]
    assert losses[0] is not None
    assert losses[1] == pytest.approx(4 * losses[0], rel=1e-5)
