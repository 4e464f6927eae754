"""How well an estimate of every layer's loss agrees with brute force: figures, no measuring."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
from scipy import stats

from pixart_tui.domain.profiles.score import LayerScore

Floats: TypeAlias = npt.NDArray[np.float64]

_SPLITS: Final = 200


@dataclass(frozen=True)
class Reference:
    """Brute force.

    Attributes:
        fqns: The layers.
        prompts: Of each sample.
        losses: 1 - SSIM, (layers, samples).
    """

    fqns: tuple[str, ...]
    prompts: tuple[str, ...]
    losses: Floats

    @property
    def means(self) -> Floats:
        """Of each layer over the samples."""
        found: Floats = self.losses.mean(axis=1)
        return found

    def log_reach(self) -> Floats:
        """Half of the 95% interval of each mean's logarithm, over prompts."""
        names = list(dict.fromkeys(self.prompts))
        of = np.array(self.prompts)
        by_prompt = np.stack([self.losses[:, of == name].mean(axis=1) for name in names])
        variance = np.log(by_prompt).var(axis=0, ddof=1)
        width = np.sqrt(variance / len(names) + variance**2 / (2 * (len(names) + 1)))
        found: Floats = stats.t.ppf(0.975, len(names) - 1) * width
        return found


def on_the_same_images(scores: Sequence[LayerScore], reference: Reference) -> dict[str, float]:
    """An estimate against brute force on the very samples that it was made on."""
    found = _of(scores, reference)
    losses = np.array([x.loss for x in found], dtype=np.float64)
    low, high = _ends(found, "these_high", "these_low")
    held = (low <= reference.means) & (reference.means <= high)
    logs = np.log(losses / reference.means)
    left_out = len(losses) - int(len(losses) * 0.9)
    return {
        "spearman": spearman(losses, reference.means),
        "intervals_that_hold_brute_force": float(held.mean()),
        "median_ratio": float(np.exp(np.median(logs))),
        "log_deviation": float(logs.std()),
        "same_layers_left_out_of_90_percent": _same(losses, reference.means, left_out),
        "median_degrees_of_freedom": float(np.median([x.degrees or 0 for x in found])),
        "samples_of_brute_force_with_itself_spearman": split_half(reference),
    }


def on_other_prompts(scores: Sequence[LayerScore], reference: Reference) -> dict[str, float]:
    """An estimate against brute force on other prompts, whose own error is added."""
    found = _of(scores, reference)
    losses = np.array([x.loss for x in found], dtype=np.float64)
    low, high = _ends(found, "ssim_high", "ssim_low")
    own = reference.log_reach()
    below = np.log(losses / low)
    above = np.log(high / losses)
    difference = np.log(reference.means / losses)
    held = np.where(
        difference > 0,
        difference <= np.hypot(above, own),
        -difference <= np.hypot(below, own),
    )
    return {
        "spearman": spearman(losses, reference.means),
        "intervals_that_hold_brute_force": float(held.mean()),
    }


def split_half(reference: Reference) -> float:
    """Rank agreement of brute force on two halves of its samples, mean over random halves."""
    rng, count = np.random.default_rng(0), reference.losses.shape[1]
    if count < 2:
        return float("nan")
    found = []
    for _ in range(_SPLITS):
        order = rng.permutation(count)
        halves = np.array_split(order, 2)
        one, other = (reference.losses[:, half].mean(axis=1) for half in halves)
        found.append(spearman(one, other))
    return float(np.mean(found))


def spearman(one: Floats, other: Floats) -> float:
    """Spearman's rank correlation."""
    return float(stats.spearmanr(one, other).statistic)


def _of(scores: Sequence[LayerScore], reference: Reference) -> list[LayerScore]:
    known = {score.layer.fqn: score for score in scores}
    return [known[fqn] for fqn in reference.fqns]


def _ends(found: Sequence[LayerScore], low: str, high: str) -> tuple[Floats, Floats]:
    """Losses at both ends of an interval of SSIM."""
    ends = [[1 - getattr(x, name) for x in found] for name in (low, high)]
    return np.array(ends[0]), np.array(ends[1])


def _same(one: Floats, other: Floats, count: int) -> float:
    sets = (set(np.argsort(-x, kind="stable")[:count].tolist()) for x in (one, other))
    first, second = sets
    return len(first & second) / count
