from __future__ import annotations

import random

import numpy as np
import pytest

from pixart_tui.domain.estimation import estimate, score_by_sample, step_profile
from pixart_tui.domain.measurements import Measurement
from pixart_tui.domain.probing import ProbeRow, Probing
from tests.samples import measurement

_GAIN = 0.2
_SAMPLES = tuple((prompt, 0) for prompt in "abcdefgh")
_LAYERS = tuple(f"transformer_blocks.{i}.x" for i in range(20))


def _probing(null: float = 0.0) -> Probing:
    """Errors over two decades; the anchor is step 3, with one row at step 1."""
    rows = [ProbeRow(prompt=p, seed=s, step=3) for p, s in _SAMPLES]
    rows.append(ProbeRow(prompt="a", seed=0, step=1))
    factors = [*(1 + 0.1 * i for i in range(8)), 0.01]
    errors = {
        fqn: tuple(10 ** (-4 + 2 * n / 20) * factor + null for factor in factors)
        for n, fqn in enumerate(_LAYERS)
    }
    return Probing(
        rows=tuple(rows), anchor=3, gains=(0.1, 0.1, 0.1, _GAIN), null=(null,) * 9, errors=errors
    )


def _truth(probing: Probing, noise: float = 0.2) -> dict[tuple[str, str], float]:
    """1 - SSIM as it might be: 3 times the score, with a layer's and a sample's luck."""
    rng = np.random.default_rng(3)
    found = {}
    for fqn in _LAYERS:
        own = rng.normal(0, noise)
        for (prompt, _), score in zip(_SAMPLES, score_by_sample(probing, fqn), strict=True):
            found[fqn, prompt] = 3 * float(score) * float(np.exp(own + rng.normal(0, noise)))
    return found


def _images(truth: dict[tuple[str, str], float], layers: tuple[str, ...]) -> list[Measurement]:
    chosen = [(fqn, prompt) for fqn in layers for prompt, _ in _SAMPLES]
    return [measurement(fqn, 1 - truth[fqn, prompt], prompt) for fqn, prompt in chosen]


def test_steps_that_were_not_probed_lie_between_those_that_were() -> None:
    shares = step_profile(_probing(), _LAYERS[0])
    assert shares.sum() == pytest.approx(1)
    # Step 1 has a hundredth of the squared error, and half the gain.
    assert shares[1] / shares[3] == pytest.approx(0.01 / 4)
    assert shares[2] / shares[3] == pytest.approx(0.1 / 4)


def test_the_score_is_the_error_at_the_anchor_and_what_the_other_steps_add() -> None:
    probing = _probing()
    errors = np.array(probing.errors[_LAYERS[5]][:8])
    share = step_profile(probing, _LAYERS[5])[3]
    assert score_by_sample(probing, _LAYERS[5]) == pytest.approx(errors * _GAIN**2 / share)


def test_what_the_null_explains_is_taken_off() -> None:
    clean, noisy = _probing(), _probing(null=1e-5)
    for fqn in _LAYERS[10:]:
        assert score_by_sample(noisy, fqn) == pytest.approx(score_by_sample(clean, fqn), rel=0.02)


def test_estimates_come_near_the_truth_and_their_intervals_hold_it() -> None:
    probing = _probing()
    truth = _truth(probing)
    found = estimate(probing, _images(truth, _LAYERS[::4]))
    assert found is not None
    held = 0
    for i, fqn in enumerate(found.layers):
        mean = np.mean([truth[fqn, prompt] for prompt, _ in _SAMPLES])
        assert found.losses[i] == pytest.approx(mean, rel=1.0)
        low, high = np.percentile(found.draws[:, i], [2.5, 97.5])
        held += bool(low <= mean <= high)
    assert held >= 18


def test_an_imaged_layer_keeps_its_images() -> None:
    probing = _probing()
    truth = _truth(probing)
    found = estimate(probing, _images(truth, _LAYERS[::4]))
    assert found is not None
    place = found.layers.index(_LAYERS[4])
    assert found.imaged[place] == found.samples == 8
    expected = np.mean([truth[_LAYERS[4], prompt] for prompt, _ in _SAMPLES])
    assert found.losses[place] == pytest.approx(expected)


def test_the_order_of_the_images_changes_nothing() -> None:
    probing = _probing()
    images = _images(_truth(probing), _LAYERS[::4])
    shuffled = random.Random(1).sample(images, len(images))
    first, second = estimate(probing, images), estimate(probing, shuffled)
    assert first is not None
    assert second is not None
    assert np.array_equal(first.losses, second.losses)
    assert np.array_equal(first.draws, second.draws)


def test_nothing_is_estimated_before_something_was_imaged() -> None:
    assert estimate(_probing(), []) is None


def test_a_layer_with_an_image_that_is_not_finite_has_no_estimate_and_no_rank() -> None:
    probing = _probing()
    images = _images(_truth(probing), _LAYERS[:4])
    broken = images[0].model_copy(update={"finite": False, "ssim": None})
    found = estimate(probing, [broken, *images[1:]])
    assert found is not None
    assert found.layers == tuple(sorted(_LAYERS[1:]))
