"""Improving a choice where losses interact: exchanges that lower the predicted joint loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pixart_tui.domain.selecting.knapsack import Floats, Indices

_NOTHING: Final = 1e-15
_MOST_ROUNDS: Final = 500


@dataclass(frozen=True, slots=True)
class Quadratic:
    """Alternatives, one to be taken of each decision, whose costs interact.

    Attributes:
        owner: (alternatives,), the decision of each; all of one decision stand together.
        cost: (alternatives, alternatives), symmetric: the cost is the sum over all taken pairs.
        weight: (alternatives,), what is limited.
        limit: What the weights may sum to.
    """

    owner: Indices
    cost: Floats
    weight: Floats
    limit: float

    def total(self, taken: Indices) -> float:
        """The cost of one alternative of each decision, as places in ``owner``."""
        return float(self.cost[np.ix_(taken, taken)].sum())

    def room(self, taken: Indices) -> float:
        """What is left of the limit."""
        return self.limit - float(self.weight[taken].sum())


def exchanged(problem: Quadratic, taken: Indices) -> Indices:
    """Changes one or two decisions at a time while the cost falls; never breaks the limit."""
    taken = taken.copy()
    for _ in range(_MOST_ROUNDS):
        single, saved = _single(problem, taken), problem.room(taken)
        added = problem.weight - problem.weight[taken][problem.owner]
        move = _best_single(single, added, saved)
        pair = _best_pair(problem, taken, single, added, saved)
        if min(move[0], pair[0]) >= -_NOTHING:
            return taken
        for place in move[1] if move[0] <= pair[0] else pair[1]:
            taken[problem.owner[place]] = place
    return taken


def best_of(problem: Quadratic, starts: Sequence[Indices]) -> Indices:
    """The best choice that exchanges find from several starts."""
    return min((exchanged(problem, start) for start in starts), key=problem.total)


def _single(problem: Quadratic, taken: Indices) -> Floats:
    """What each alternative adds to the cost in the place of the one taken of its decision."""
    current = taken[problem.owner]
    together = problem.cost[:, taken].sum(axis=1)
    own = np.diag(problem.cost)
    with_others = 2 * (together - problem.cost[np.arange(len(current)), current]) + own
    without = 2 * together[current] - own[current]
    return np.asarray(with_others - without)


def _best_single(single: Floats, added: Floats, room: float) -> tuple[float, tuple[int, ...]]:
    allowed = np.where(added <= room, single, np.inf)
    place = int(allowed.argmin())
    return float(allowed[place]), (place,)


def _best_pair(
    problem: Quadratic, taken: Indices, single: Floats, added: Floats, room: float
) -> tuple[float, tuple[int, ...]]:
    current = taken[problem.owner]
    cost = problem.cost
    crossing = cost - cost[:, current] - cost[current, :] + cost[np.ix_(current, current)]
    both = single[:, None] + single[None, :] + 2 * crossing
    apart = problem.owner[:, None] != problem.owner[None, :]
    allowed = np.where(apart & (added[:, None] + added[None, :] <= room), both, np.inf)
    one, other = np.unravel_index(int(allowed.argmin()), allowed.shape)
    return float(allowed[one, other]), (int(one), int(other))
