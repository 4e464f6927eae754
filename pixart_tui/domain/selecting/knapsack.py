"""The multiple-choice knapsack: one option of each decision, the least cost within a limit.

The Lagrangian bound first rules out every option that no optimum can hold (reduced-cost fixing,
Dyer, Kayal and Walsh 1984; Pisinger 1995); what is left, the core, is a small integer programme.
A whole model is solved while a key is held down, and the answer is still the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.selecting.quiet import quiet_stdout

Floats: TypeAlias = npt.NDArray[np.float64]
Indices: TypeAlias = npt.NDArray[np.int64]
Flags: TypeAlias = npt.NDArray[np.bool_]

_SOLVER_TOLERANCE: Final = 2e-6
_ROUNDING: Final = 1e-12
_BISECTIONS: Final = 100
_GAP: Final = 5e-3
_EXACT_OPTIONS: Final = 40
_MOST_EXCHANGED: Final = 150
_CORE_OPTIONS: Final = 60
_SOLVER_LIMIT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Knapsack:
    """Decisions with their options, padded to equal numbers.

    Attributes:
        cost: (decisions, options), what is to be least; infinite where there is no such option.
        weight: The same shape, what is limited.
        limit: What the weights may sum to.
    """

    cost: Floats
    weight: Floats
    limit: float

    @classmethod
    def of(cls, options: Sequence[Sequence[tuple[float, float]]], limit: float) -> Knapsack:
        """From each decision's (cost, weight) pairs."""
        width = max((len(pairs) for pairs in options), default=1)
        cost = np.full((len(options), width), np.inf)
        weight = np.zeros((len(options), width))
        for row, pairs in enumerate(options):
            cost[row, : len(pairs)] = [pair[0] for pair in pairs]
            weight[row, : len(pairs)] = [pair[1] for pair in pairs]
        return cls(cost, weight, limit)

    def totals(self, picks: Indices) -> tuple[float, float]:
        """Summed cost and weight of one option of each decision."""
        rows = np.arange(len(picks))
        return float(self.cost[rows, picks].sum()), float(self.weight[rows, picks].sum())

    @property
    def slack(self) -> float:
        """Returns the largest rounding error of a sum of weights."""
        return _ROUNDING * (float(np.abs(self.weight).sum()) or 1.0)

    def fits(self, picks: Indices) -> bool:
        """Whether the weights stay within the limit."""
        return self.totals(picks)[1] <= self.limit + self.slack


def solve(problem: Knapsack) -> Indices:
    """The option of each decision with the least summed cost within the limit.

    The optimum where a few dozen options are open. Where more are, as in a whole model with many
    layers of one shape, a cost within half a percent of the bound is taken for it, and else only
    the options that raise the bound the least are solved among.

    Raises:
        WorkError: Not even the lightest options fit.
    """
    lightest = _lightest(problem)
    if not problem.fits(lightest):
        raise WorkError(
            "no selection was found", cause="the limit is too small", next_step="ask for less"
        )
    multiplier = _multiplier(problem)
    bound, reduced = _bound(problem, multiplier)
    best = _filled(problem, _cheapest(problem, multiplier, lightest))
    best = _exchanged(
        problem, best, np.where(_open(problem, best, bound, reduced), reduced, np.inf)
    )
    open_ = _open(problem, best, bound, reduced)
    gap = problem.totals(best)[0] - bound
    many = open_.sum() - len(best) > _EXACT_OPTIONS
    if many:
        if gap <= _GAP * abs(bound):
            return best
        open_ &= _promising(reduced, best)
    return _better(problem, best, _solve_core(problem, open_, best, _GAP if many else 0.0))


def least_cost(problem: Knapsack) -> float:
    """A cost that no solution undercuts; infinite where not even the lightest options fit."""
    if not problem.fits(_lightest(problem)):
        return math.inf
    return _bound(problem, _multiplier(problem))[0]


def _promising(reduced: Floats, best: Indices) -> Flags:
    """The options that raise the bound the least, and those of ``best``: few enough to solve."""
    last = min(len(best) + _CORE_OPTIONS, reduced.size - 1)
    most = np.partition(reduced, last, axis=None)[last]
    chosen = np.asarray(reduced <= most)
    chosen[np.arange(len(best)), best] = True
    return chosen


def _open(problem: Knapsack, best: Indices, bound: float, reduced: Floats) -> Flags:
    """The options that a solution better than ``best`` can hold, and those of ``best``."""
    gap = max(problem.totals(best)[0] - bound, 0.0)
    open_ = reduced <= gap + _ROUNDING * _scale(problem.cost)
    open_[np.arange(len(best)), best] = True
    return np.asarray(open_)


def _lightest(problem: Knapsack) -> Indices:
    """The cheapest of the lightest options of each decision."""
    weight = np.where(np.isfinite(problem.cost), problem.weight, np.inf)
    ties = weight <= weight.min(axis=1, keepdims=True)
    return np.asarray(np.where(ties, problem.cost, np.inf).argmin(axis=1))


def _priced(problem: Knapsack, multiplier: float) -> Floats:
    return problem.cost + multiplier * problem.weight


def _multiplier(problem: Knapsack) -> float:
    """The least price of weight at which the cheapest options fit."""
    low, high = 0.0, 1.0
    scale = _scale(problem.cost) / (_scale(problem.weight) or 1.0)
    while not problem.fits(_priced(problem, high * scale).argmin(axis=1)) and high < 1e30:
        low, high = high, high * 8
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        fitting = problem.fits(_priced(problem, middle * scale).argmin(axis=1))
        low, high = (low, middle) if fitting else (middle, high)
        if high - low <= 1e-15 * high:
            break
    return high * scale


def _cheapest(problem: Knapsack, multiplier: float, lightest: Indices) -> Indices:
    picks = _priced(problem, multiplier).argmin(axis=1)
    return picks if problem.fits(picks) else lightest


def _bound(problem: Knapsack, multiplier: float) -> tuple[float, Floats]:
    """A cost that no solution undercuts, and by how much each option raises it."""
    priced = _priced(problem, multiplier)
    least = priced.min(axis=1, keepdims=True)
    return float(least.sum() - multiplier * problem.limit), priced - least


def _filled(problem: Knapsack, picks: Indices) -> Indices:
    """Uses up the room that is left, the largest improvement first."""
    picks, rows = picks.copy(), np.arange(len(picks))
    for _ in range(4 * len(picks)):
        room = problem.limit - problem.totals(picks)[1]
        gained = problem.cost[rows, picks][:, None] - problem.cost
        added = problem.weight - problem.weight[rows, picks][:, None]
        gained = np.where(added <= room, gained, -np.inf)
        row, option = np.unravel_index(int(gained.argmax()), gained.shape)
        if gained[row, option] <= 0:
            return picks
        picks[row] = option
    return picks


def _exchanged(problem: Knapsack, picks: Indices, reduced: Floats) -> Indices:
    """Changes two decisions at once while that helps, among the most promising options.

    Args:
        problem: The knapsack.
        picks: Where it starts.
        reduced: How much each option raises the bound; infinite for those that are ruled out.
    """
    order = np.argsort(reduced, axis=None)[: _MOST_EXCHANGED + len(picks)]
    rows, options = np.unravel_index(order[np.isfinite(reduced.flat[order])], reduced.shape)
    picks = picks.copy()
    apart = rows[:, None] != rows[None, :]
    for _ in range(len(picks)):
        room = problem.limit - problem.totals(picks)[1]
        gained = problem.cost[rows, picks[rows]] - problem.cost[rows, options]
        added = problem.weight[rows, options] - problem.weight[rows, picks[rows]]
        fits = apart & (added[:, None] + added[None, :] <= room)
        both = np.where(fits, gained[:, None] + gained[None, :], -np.inf)
        if not both.size or both.max() <= _ROUNDING * _scale(problem.cost):
            return picks
        one, other = np.unravel_index(int(both.argmax()), both.shape)
        picks[rows[[one, other]]] = options[[one, other]]
    return picks


def _solve_core(problem: Knapsack, open_: Flags, best: Indices, gap: float) -> Indices | None:
    """The best picks among the options that are still open, None if the solver has none."""
    rows = np.flatnonzero(open_.sum(axis=1) > 1)
    if not len(rows):
        return None
    settled = np.setdiff1d(np.arange(len(best)), rows)
    limit = problem.limit - float(problem.weight[settled, best[settled]].sum())
    owner, option = np.nonzero(open_[rows])
    places = rows[owner], option
    for slack in (0.0, _SOLVER_TOLERANCE):
        taken = _milp(
            problem.cost[places],
            problem.weight[places],
            owner,
            limit - slack * (_scale(problem.weight[places]) or 1.0),
            gap,
        )
        if taken is None:
            return None
        picks = best.copy()
        picks[rows[owner[taken]]] = option[taken]
        if problem.fits(picks):
            return picks
    return None


def _milp(cost: Floats, weight: Floats, owner: Indices, limit: float, gap: float) -> Flags | None:
    """Exactly one option of each owner; both axes scaled, as the tolerance is absolute."""
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import csr_matrix

    places = (owner, np.arange(len(owner)))
    one_each = csr_matrix((np.ones(len(owner)), places))
    scale = _scale(weight) or 1.0
    within = LinearConstraint(weight[np.newaxis, :] / scale, -np.inf, limit / scale)
    with quiet_stdout():
        solution = milp(
            cost / (_scale(cost) or 1.0),
            constraints=[LinearConstraint(one_each, 1, 1), within],
            integrality=np.ones(len(cost), dtype=np.int64),
            bounds=Bounds(0, 1),
            options={"mip_rel_gap": gap, "time_limit": _SOLVER_LIMIT_S},
        )
    return None if solution.x is None else np.asarray(solution.x > 0.5)


def _better(problem: Knapsack, first: Indices, second: Indices | None) -> Indices:
    if second is None or problem.totals(first)[0] <= problem.totals(second)[0]:
        return first
    return second


def _scale(values: Floats) -> float:
    return float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
