"""From teacher-forced scores to image loss: a small Gaussian model, fitted to imaged layers.

For layer l and sample s, with x the logarithm of the score, centred::

    log(1 - SSIM) = x + a + g x + b_s + k_c + u_l + e

a is the gain of the VAE and of SSIM, g how much it saturates, b_s what a sample adds, k_c what the
score misses in layers of one kind (the same place in every block), u_l what it misses in a layer
besides, e the rest. All are normal with mean 0; the deviations of b, k, u and e are those under
which the imaged layers are most likely, pulled towards those of the embedded model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Ints: TypeAlias = npt.NDArray[np.int64]
Chance: TypeAlias = tuple[Floats, Floats]
"""Standard normal numbers of one draw: of the parts, and of each layer and sample."""

_GAIN_VARIANCE: Final = 25.0
_SLOPE_VARIANCE: Final = 0.1**2
_USUAL: Final = (0.15, 0.4, 0.12, 0.28)
"""Deviations of b, k, u and e; k as wide as two models ask for (docs/method-results.md)."""
_FACTORS: Final = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.6)
_PULL: Final = 0.4
"""Standard deviation of the logarithm of each deviation around its usual value."""
_SWEEPS: Final = 3


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
class Design:
    """What is known before anything was imaged.

    Attributes:
        scores: Logarithm of the scores, (layers, samples).
        kinds: Of each layer, the number of its kind, from 0.
        spreads: Of each layer, how much larger its u may be than others'.
    """

    scores: Floats
    kinds: Ints
    spreads: Floats

    @property
    def centre(self) -> float:
        """What x is counted from."""
        return float(self.scores.mean())

    @property
    def ends(self) -> tuple[int, int]:
        """Where the parts of the samples and of the kinds end, in (a, g, b, k, u)."""
        samples = 2 + self.scores.shape[1]
        return samples, samples + int(self.kinds.max()) + 1

    def variances(self, deviations: tuple[float, ...]) -> Floats:
        """Of every part."""
        samples, kinds = self.ends
        found = np.empty(kinds + len(self.kinds))
        found[:2] = _GAIN_VARIANCE, _SLOPE_VARIANCE
        found[2:samples] = deviations[0] ** 2
        found[samples:kinds] = deviations[1] ** 2
        found[kinds:] = (deviations[2] * self.spreads) ** 2
        return found

    def matrix(self, images: Images) -> Floats:
        """(pairs, parts): what each part adds to each pair."""
        samples, kinds = self.ends
        rows = np.arange(len(images.layers))
        found = np.zeros((len(rows), kinds + len(self.kinds)))
        found[:, 0] = 1.0
        found[:, 1] = self.scores[images.layers, images.samples] - self.centre
        found[rows, 2 + images.samples] = 1.0
        found[rows, samples + self.kinds[images.layers]] = 1.0
        found[rows, kinds + images.layers] = 1.0
        return found

    def spread_out(self, parts: Floats) -> Floats:
        """The sum of all parts but g, of (..., parts) for (..., layers, samples)."""
        samples, kinds = self.ends
        layers = parts[..., samples:kinds][..., self.kinds] + parts[..., kinds:]
        total: Floats = parts[..., None, None, 0] + parts[..., None, 2:samples] + layers[..., None]
        return total


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted model.

    Attributes:
        design: What it was fitted on.
        mean: Of (a, g, b, k, u).
        factor: Lower Cholesky factor of their covariance.
        deviations: Of b, k, u and e.
    """

    design: Design
    mean: Floats
    factor: Floats
    deviations: tuple[float, ...]

    @property
    def expected(self) -> Floats:
        """The expected 1 - SSIM, (layers, samples)."""
        # Mean of a log-normal; what the parts share is small beside their own variances.
        own = np.minimum(np.square(self.factor).sum(axis=1), 1.0)
        variance = self.design.spread_out(own) + self.deviations[-1] ** 2
        found: Floats = np.exp(self._log_losses(self.mean) + 0.5 * variance)
        return found

    def chance(self, rng: np.random.Generator) -> Chance:
        """The random numbers of one draw."""
        return (
            rng.standard_normal(len(self.mean)),
            rng.standard_normal(self.design.scores.shape),
        )

    def draws(self, chances: Sequence[Chance]) -> Floats:
        """Losses that may be, (draws, layers, samples)."""
        parts = self.mean + np.stack([parts for parts, _ in chances]) @ self.factor.T
        noise = self.deviations[-1] * np.stack([noise for _, noise in chances])
        found: Floats = np.exp(self._log_losses(parts) + noise)
        return found

    def _log_losses(self, theta: Floats) -> Floats:
        """Of parts (..., parts), (..., layers, samples)."""
        x = self.design.scores - self.design.centre
        slope = theta[..., 1, None, None]
        found: Floats = self.design.scores + slope * x + self.design.spread_out(theta)
        return found


def calibrate(design: Design, images: Images) -> Calibration:
    """Fits the model to at least one imaged pair."""
    matrix = design.matrix(images)
    target = images.log_losses - design.scores[images.layers, images.samples]
    deviations = _likeliest(design, matrix, target)
    precision = np.diag(1 / design.variances(deviations)) + matrix.T @ matrix / deviations[-1] ** 2
    covariance = np.linalg.inv(precision)
    mean = covariance @ (matrix.T @ target) / deviations[-1] ** 2
    factor = np.linalg.cholesky((covariance + covariance.T) / 2).astype(np.float64)
    return Calibration(design, mean, factor, deviations)


def _likeliest(design: Design, matrix: Floats, target: Floats) -> tuple[float, ...]:
    """The deviations, found one after the other, a few times."""

    @cache
    def likelihood(found: tuple[float, ...]) -> float:
        return _log_likelihood(design, matrix, target, found)

    best: tuple[float, ...] = _USUAL
    for _ in range(_SWEEPS):
        for i, usual in enumerate(_USUAL):
            tried = [(*best[:i], usual * factor, *best[i + 1 :]) for factor in _FACTORS]
            best = max(tried, key=likelihood)
    return best


def _log_likelihood(
    design: Design, matrix: Floats, target: Floats, deviations: tuple[float, ...]
) -> float:
    covariance = (matrix * design.variances(deviations)) @ matrix.T
    covariance += deviations[-1] ** 2 * np.eye(len(target))
    factor = np.linalg.cholesky(covariance)
    whitened = np.linalg.solve(factor, target)
    fit = -0.5 * whitened @ whitened - np.log(np.diag(factor)).sum()
    pulls = (np.log(d / u) / _PULL for d, u in zip(deviations, _USUAL, strict=True))
    return float(fit - 0.5 * sum(pull**2 for pull in pulls))
