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
        imaged: Of each, on how many samples.
        samples: On how many samples all of them were probed.
        residual: Standard deviation of log(1 - SSIM) that the score leaves unexplained in a layer.
    """

    layers: tuple[str, ...]
    losses: Floats
    draws: Floats
    imaged: tuple[int, ...]
    samples: int
    residual: float


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
    scores = np.log(np.stack([score_by_sample(probing, fqn) for fqn in fqns]))
    spreads = np.array([1.0 if _in_block(fqn) else _OUTSIDE_SPREAD for fqn in fqns])
    layers, samples = np.nonzero(known)
    images = Images(layers, samples, np.log(np.maximum(losses[known], _SMALLEST)))
    fitted = calibrate(Design(scores, _kinds(fqns), spreads), images)
    return Estimates(
        layers=fqns,
        losses=np.where(known, losses, fitted.expected).mean(axis=1),
        draws=_draws(fitted, losses),
        imaged=tuple(int(count) for count in known.sum(axis=1)),
        samples=losses.shape[1],
        residual=fitted.deviations[2],
    )


def score_by_sample(probing: Probing, fqn: str) -> Floats:
    """The teacher-forced score of each sample that was probed.

    The final latents' mean squared change, as if errors added up in squares: the error at the
    anchor step, and what the other steps add to it.
    """
    at_anchor = np.array([r.step == probing.anchor for r in probing.rows])
    gain = probing.gains[probing.anchor] ** 2
    share = step_profile(probing, fqn)[probing.anchor]
    scores: Floats = np.maximum(_errors(probing, fqn)[at_anchor] * gain / share, _SMALLEST)
    return scores


def step_profile(probing: Probing, fqn: str) -> Floats:
    """The part that each step has in a layer's effect on the final latents; sums to 1.

    Errors of the steps that were probed, each as a ratio to the same sample's error at the anchor,
    interpolated in the logarithm, times the squared gain.
    """
    errors = _errors(probing, fqn)
    at_anchor = {
        (r.prompt, r.seed): e
        for r, e in zip(probing.rows, errors, strict=True)
        if r.step == probing.anchor
    }
    ratios: dict[int, list[float]] = {}
    for row, error in zip(probing.rows, errors, strict=True):
        ratio = float(np.log(error / at_anchor[row.prompt, row.seed]))
        ratios.setdefault(row.step, []).append(ratio)
    steps = sorted(ratios)
    known = [float(np.mean(ratios[step])) for step in steps]
    logs = np.interp(np.arange(len(probing.gains)), steps, known)
    effect = np.exp(logs) * np.square(probing.gains)
    return np.asarray(effect / effect.sum(), dtype=np.float64)


def _errors(probing: Probing, fqn: str) -> Floats:
    """A layer's mean squared errors without what the null explains."""
    errors = np.array(probing.errors[fqn], dtype=np.float64)
    null = np.array(probing.null, dtype=np.float64)
    left: Floats = np.maximum(np.maximum(errors - null, _NULL_LEFT * null), _SMALLEST)
    return left


def kind_of(fqn: str) -> str:
    """What a layer has in common with those at the same place of the other blocks."""
    return fqn.split(".", 2)[2] if _in_block(fqn) else fqn


def _kinds(fqns: Sequence[str]) -> Ints:
    names = sorted({kind_of(fqn) for fqn in fqns})
    return np.array([names.index(kind_of(fqn)) for fqn in fqns])


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
    found = np.empty((_DRAWS, losses.shape[0]))
    for index, drawn in enumerate(fitted.draws(_DRAWS, rng)):
        picks = rng.integers(0, count, count)
        filled = np.where(np.isnan(losses), drawn, losses)
        mean = np.maximum(filled.mean(axis=1), _SMALLEST)
        resampled = np.maximum(filled[:, picks].mean(axis=1), _SMALLEST)
        found[index] = mean * (resampled / mean) ** widening
    return found
