"""Ranks that say where they are luck: layers that cannot be told apart are ties."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.profiles.intervals import TAIL

Floats: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rank:
    """A layer's place.

    Attributes:
        place: 1 for the most sensitive.
        first: The place of the most sensitive layer that it cannot be told apart from, counted
            down in groups: all layers of a group have the same.
        tied: Whether its group has another layer.
    """

    place: int
    first: int
    tied: bool


def rank_layers(losses: Floats, same: Callable[[int, int], bool]) -> list[Rank]:
    """The places of layers, in the order given.

    A group begins with the most sensitive layer that has no place yet, and takes in those below
    it until one can be told apart from the first. Chains of neighbors do not tie their ends.

    Args:
        losses: 1 - SSIM of each layer.
        same: Whether two layers, by index, cannot be told apart.
    """
    order = np.argsort(-losses, kind="stable")
    firsts: list[int] = []
    for place, layer in enumerate(order, 1):
        leader = order[firsts[-1] - 1] if firsts else layer
        tied = leader == layer or same(int(leader), int(layer))
        firsts.append(firsts[-1] if firsts and tied else place)
    counts = {first: firsts.count(first) for first in set(firsts)}
    ranks: list[Rank | None] = [None] * len(losses)
    for place, (layer, first) in enumerate(zip(order, firsts, strict=True), 1):
        ranks[layer] = Rank(place, first, counts[first] > 1)
    return [rank for rank in ranks if rank is not None]


def paired_bootstrap(losses: Sequence[Floats], count: int) -> Floats:
    """(draws, layers): means over resampled prompts and seeds, the same ones for every layer."""
    stacked = np.stack(losses)
    picks = np.random.default_rng(0).integers(0, stacked.shape[1], (count, stacked.shape[1]))
    return np.stack([row[picks].mean(axis=1) for row in stacked], axis=1)


def same_over_draws(one: Floats, other: Floats) -> bool:
    """Whether the 95% interval of the difference of two layers' paired draws holds 0."""
    # As np.percentile interpolates, without what it does for other shapes.
    differences = np.sort(one - other)
    last = len(differences) - 1
    ends = (TAIL * last, (1 - TAIL) * last)
    low, high = np.interp(ends, np.arange(last + 1), differences)
    return bool(low <= 0 <= high)
