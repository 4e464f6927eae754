"""The scores of a profile of the fast method: imaged where it was needed, estimated elsewhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pixart_tui.domain.calibration import Calibration, Design, Floats, Images, Ints, calibrate
from pixart_tui.domain.measurements import Measurement
from pixart_tui.domain.probing import Probing

_DRAWS: Final = 400
_TAIL: Final = 2.5
"""Percent beyond each end of a 95% interval."""
_SMALLEST: Final = 1e-14
"""Losses and scores are kept above it, so that they have a logarithm."""
_OUTSIDE_SPREAD: Final = 4.0
_NULL_LEFT: Final = 0.1
"""What is left of an error at least, as a part of the null that is taken off."""


@dataclass(frozen=True, slots=True)
class Estimates:
    """What is known of the layers that were probed.

    Attributes:
        layers: Their names.
        losses: Expected 1 - SSIM of each, mean over the samples.
        draws: Values that these may be, (draws, layers); all layers share the resampled prompts
            and seeds of a draw.
        intervals: The 95% interval of each, (low and high, layers).
        imaged: Of each, on how many samples.
        samples: On how many samples all of them were probed.
        residual: Standard deviation of log(1 - SSIM) that the score leaves unexplained in a layer.
        latent_mses: Teacher-forced score of each, mean over the samples.
    """

    layers: tuple[str, ...]
    losses: Floats
    draws: Floats
    intervals: Floats
    imaged: tuple[int, ...]
    samples: int
    residual: float
    latent_mses: Floats


def estimate(probing: Probing, measurements: Iterable[Measurement]) -> Estimates | None:
    """The image loss of every probed layer; None while nothing was probed or imaged.

    A layer with an error or an image that is not finite is left out: it has no figure and no rank.

    Deterministic: the same probes and measurements, in whatever order, give the same figures.
    """
    measurements = tuple(measurements)
    broken = {m.layer for m in measurements if not m.finite}
    broken |= {fqn for fqn, errors in probing.errors.items() if None in errors}
    fqns = tuple(sorted(probing.errors.keys() - broken))
    if not fqns or not probing.samples:
        return None
    losses = _imaged_losses(probing, fqns, measurements)
    known = ~np.isnan(losses)
    if not known.any():
        return None
    scores = _Errors.of(probing, fqns).scores
    spreads = np.array([1.0 if _in_block(fqn) else _OUTSIDE_SPREAD for fqn in fqns])
    layers, samples = np.nonzero(known)
    images = Images(layers, samples, np.log(np.maximum(losses[known], _SMALLEST)))
    fitted = calibrate(Design(np.log(scores), _kinds(fqns), spreads), images)
    draws = _draws(fitted, losses)
    return Estimates(
        layers=fqns,
        losses=np.where(known, losses, fitted.expected).mean(axis=1),
        draws=draws,
        intervals=np.percentile(draws, [_TAIL, 100 - _TAIL], axis=0),
        imaged=tuple(int(count) for count in known.sum(axis=1)),
        samples=losses.shape[1],
        residual=fitted.deviations[2],
        latent_mses=scores.mean(axis=1),
    )


def score_by_sample(probing: Probing, fqn: str) -> Floats:
    """The teacher-forced score of each sample that was probed.

    The final latents' mean squared change, as if errors added up in squares: the error at the
    anchor step, and what the other steps add to it.
    """
    found: Floats = _Errors.of(probing, [fqn]).scores[0]
    return found


def step_profile(probing: Probing, fqn: str) -> Floats:
    """The part that each step has in a layer's effect on the final latents; sums to 1.

    Errors of the steps that were probed, each as a ratio to the same sample's error at the anchor,
    interpolated in the logarithm, times the squared gain.
    """
    found: Floats = _Errors.of(probing, [fqn]).step_profiles[0]
    return found


@dataclass(frozen=True, slots=True)
class _Errors:
    """Mean squared errors of some layers without what the null explains, (layers, rows)."""

    probing: Probing
    errors: Floats

    @classmethod
    def of(cls, probing: Probing, fqns: Sequence[str]) -> _Errors:
        errors = np.array([probing.errors[fqn] for fqn in fqns], dtype=np.float64)
        null = np.array(probing.null, dtype=np.float64)
        left = np.maximum(np.maximum(errors - null, _NULL_LEFT * null), _SMALLEST)
        return cls(probing, left)

    @property
    def scores(self) -> Floats:
        """(layers, samples)."""
        probing = self.probing
        at_anchor = np.array([row.step == probing.anchor for row in probing.rows])
        gain = probing.gains[probing.anchor] ** 2
        share = self.step_profiles[:, [probing.anchor]]
        found: Floats = np.maximum(self.errors[:, at_anchor] * gain / share, _SMALLEST)
        return found

    @property
    def step_profiles(self) -> Floats:
        """(layers, steps)."""
        ratios = np.log(self.errors / self.errors[:, self._anchors])
        steps = np.array([row.step for row in self.probing.rows])
        probed = np.unique(steps)
        known = np.stack([ratios[:, steps == step].mean(axis=1) for step in probed], axis=1)
        every = np.arange(len(self.probing.gains))
        # Interpolating is linear in what it runs through: once for all layers.
        weights = np.stack([np.interp(every, probed, one) for one in np.eye(len(probed))])
        effect = np.exp(known @ weights) * np.square(self.probing.gains)
        found: Floats = effect / effect.sum(axis=1, keepdims=True)
        return found

    @property
    def _anchors(self) -> list[int]:
        """Of each row, the row of the same sample at the anchor."""
        rows, anchor = self.probing.rows, self.probing.anchor
        places = {(r.prompt, r.seed): i for i, r in enumerate(rows) if r.step == anchor}
        return [places[row.prompt, row.seed] for row in rows]


def kind_of(fqn: str) -> str:
    """What a layer has in common with those at the same place of the other blocks."""
    return fqn.split(".", 2)[2] if _in_block(fqn) else fqn


def _kinds(fqns: Sequence[str]) -> Ints:
    kinds = [kind_of(fqn) for fqn in fqns]
    numbers = {kind: number for number, kind in enumerate(sorted(set(kinds)))}
    return np.array([numbers[kind] for kind in kinds])


def _in_block(fqn: str) -> bool:
    return fqn.startswith("transformer_blocks.")


def _imaged_losses(
    probing: Probing, fqns: Sequence[str], measurements: Iterable[Measurement]
) -> Floats:
    """1 - SSIM of each layer and probed sample; NaN where it was not imaged."""
    rows = {fqn: i for i, fqn in enumerate(fqns)}
    columns: Mapping[tuple[str, int], int] = {s: i for i, s in enumerate(probing.samples)}
    losses = np.full((len(rows), len(columns)), np.nan)
    for m in measurements:
        row, column = rows.get(m.layer), columns.get((m.prompt, m.seed))
        if row is not None and column is not None and m.loss is not None:
            losses[row, column] = m.loss
    return losses


def _draws(fitted: Calibration, losses: Floats) -> Floats:
    """(draws, layers): the model's doubt and the choice of prompts and seeds, together."""
    rng = np.random.default_rng(0)
    count = losses.shape[1]
    # The bootstrap of a mean is too narrow by this (Efron 1979); it counts for few samples.
    widening = np.sqrt(count / (count - 1)) if count > 1 else 1.0
    chances = [(fitted.chance(rng), rng.integers(0, count, count)) for _ in range(_DRAWS)]
    drawn = fitted.draws([chance for chance, _ in chances])
    filled = np.where(np.isnan(losses), drawn, losses)
    picks = np.stack([picked for _, picked in chances])[:, None, :]
    mean = np.maximum(filled.mean(axis=2), _SMALLEST)
    resampled = np.take_along_axis(filled, picks, axis=2).mean(axis=2)
    found: Floats = mean * (np.maximum(resampled, _SMALLEST) / mean) ** widening
    return found
