"""From teacher-forced scores to image loss: a small Gaussian model, fitted to imaged layers.

For layer l and sample s, with x the logarithm of the score, centred::

    log(1 - SSIM) = x + a + g x + b_s + u_l + e

a is the gain of the VAE and of SSIM, g how much it saturates, b_s what a sample adds, u_l what the
score misses in a layer, e the rest. All are normal with mean 0; the variances of b, u and e are
those under which the imaged layers are most likely, pulled towards what was measured on the
embedded model (``benchmarks/fast_method.py``).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]

_GAIN_VARIANCE: Final = 25.0
_SLOPE_VARIANCE: Final = 0.1**2
_USUAL_DEVIATIONS: Final = (0.1, 0.2, 0.25)
_FACTORS: Final = (0.4, 0.7, 1.0, 1.5, 2.3, 3.5, 5.0)
_PULL: Final = 0.7
"""Standard deviation of the logarithm of each deviation around its usual value."""


@dataclass(frozen=True, slots=True)
class Images:
    """Imaged pairs of layer and sample.

    Attributes:
        layers: Index of each pair's layer.
        samples: Index of each pair's sample.
        log_losses: Logarithm of each pair's 1 - SSIM.
    """

    layers: Ints
    samples: Ints
    log_losses: Floats


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted model.

    Attributes:
        scores: Logarithm of the scores, (layers, samples).
        mean: Of (a, g, b of each sample, u of each layer).
        factor: Lower Cholesky factor of their covariance.
        deviations: Of b, u and e.
        centre: What x is counted from.
    """

    scores: Floats
    mean: Floats
    factor: Floats
    deviations: tuple[float, float, float]
    centre: float

    @property
    def expected(self) -> Floats:
        """The expected 1 - SSIM, (layers, samples)."""
        spread = self.factor @ self.factor.T
        count = self.scores.shape[1]
        own = np.diag(spread)
        log_mean = self._log_losses(self.mean)
        variance = own[0] + own[2 : 2 + count][None, :] + own[2 + count :][:, None]
        # Mean of a log-normal; what the gain shares with the others is small beside it.
        found: Floats = np.exp(
            log_mean + 0.5 * np.minimum(variance, 1.0) + 0.5 * self.deviations[2] ** 2
        )
        return found

    def draws(self, count: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Losses that may be, each (layers, samples)."""
        for _ in range(count):
            theta = self.mean + self.factor @ rng.standard_normal(len(self.mean))
            noise = self.deviations[2] * rng.standard_normal(self.scores.shape)
            yield np.exp(self._log_losses(theta) + noise)

    def _log_losses(self, theta: Floats) -> Floats:
        count = self.scores.shape[1]
        line = theta[0] + (1 + theta[1]) * (self.scores - self.centre) + self.centre
        found: Floats = line + theta[2 : 2 + count][None, :] + theta[2 + count :][:, None]
        return found


def calibrate(scores: Floats, images: Images, spreads: Floats) -> Calibration:
    """Fits the model.

    Args:
        scores: Logarithm of the teacher-forced scores, (layers, samples).
        images: What was imaged; at least one pair.
        spreads: Of each layer, how much larger its u may be than others'.
    """
    centre = float(scores.mean())
    design = _design(scores, images, centre)
    target = images.log_losses - scores[images.layers, images.samples]
    best = max(
        (tuple(f * u for f, u in zip(fs, _USUAL_DEVIATIONS, strict=True)) for fs in _grid()),
        key=lambda found: _log_likelihood(design, target, _prior(scores, spreads, found), found),
    )
    prior = _prior(scores, spreads, best)
    precision = np.diag(1 / prior) + design.T @ design / best[2] ** 2
    covariance = np.linalg.inv(precision)
    mean = covariance @ (design.T @ target) / best[2] ** 2
    factor: Floats = np.linalg.cholesky((covariance + covariance.T) / 2).astype(np.float64)
    return Calibration(scores, mean, factor, (best[0], best[1], best[2]), centre)


def _grid() -> Iterator[tuple[float, ...]]:
    return product(_FACTORS, repeat=len(_USUAL_DEVIATIONS))


def _design(scores: Floats, images: Images, centre: float) -> Floats:
    """(pairs, 2 + samples + layers): what each of the model's parts adds to each pair."""
    layers, samples = scores.shape
    rows = np.arange(len(images.layers))
    design = np.zeros((len(rows), 2 + samples + layers))
    design[:, 0] = 1.0
    design[:, 1] = scores[images.layers, images.samples] - centre
    design[rows, 2 + images.samples] = 1.0
    design[rows, 2 + samples + images.layers] = 1.0
    return design


def _prior(scores: Floats, spreads: Floats, deviations: tuple[float, ...]) -> Floats:
    """The variance of every part before anything was imaged."""
    shared = np.array([_GAIN_VARIANCE, _SLOPE_VARIANCE])
    samples = np.full(scores.shape[1], deviations[0] ** 2)
    return np.concatenate([shared, samples, (deviations[1] * spreads) ** 2])


def _log_likelihood(
    design: Floats, target: Floats, prior: Floats, deviations: tuple[float, ...]
) -> float:
    covariance = (design * prior) @ design.T + deviations[2] ** 2 * np.eye(len(target))
    factor = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(factor, target)
    fit = -0.5 * whitened @ whitened - np.log(np.diag(factor)).sum()
    pulls = (np.log(d / u) / _PULL for d, u in zip(deviations, _USUAL_DEVIATIONS, strict=True))
    return float(fit - 0.5 * sum(pull**2 for pull in pulls))
