"""The two questions that a menu is asked: the least loss for a gain, the most gain for a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, TypeAlias

import numpy as np

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.selecting.decisions import Decision, decisions_of, reads_text
from pixart_tui.domain.selecting.knapsack import Floats, Indices, Knapsack, solve
from pixart_tui.domain.selecting.menu import Menu, Option
from pixart_tui.domain.selecting.prediction import (
    UNCALIBRATED,
    Calibration,
    Interactions,
    loss_matrix,
)
from pixart_tui.domain.selecting.search import Quadratic, best_of

Gain: TypeAlias = Callable[[Option], float]
Chosen: TypeAlias = tuple[Option, ...]

_BISECTIONS: Final = 24


@dataclass(frozen=True)
class Solver:
    """Answers questions about one menu.

    Attributes:
        menu: The targets and their options.
        gain: What quantizing an option's target is worth.
        fused: Whether layers that read the same rows are decided together.
        only_paying: Whether options that were timed and save nothing are left out.
        interactions: How the options disturb the image together; None takes the sum.
        calibration: How far predictions were off by.
    """

    menu: Menu
    gain: Gain
    fused: bool = False
    only_paying: bool = False
    interactions: Interactions | None = None
    calibration: Calibration = UNCALIBRATED

    def least_loss(self, needed: float) -> Chosen:
        """The options with the least predicted loss whose gains reach ``needed``.

        Raises:
            WorkError: No choice reaches it.
        """
        found = [answer for table in self._tables if (answer := self._least(table, needed))]
        if not found:
            raise WorkError("no selection was found", "no choice gains that much", "ask for less")
        return min(found, key=lambda answer: (answer.loss, -answer.gain)).options

    def most_gain(self, budget: float) -> Chosen:
        """The options with the most gain whose predicted loss stays within ``budget``."""
        form_budget = budget / self.calibration.scale
        found = [self._most(table, form_budget) for table in self._tables]
        return max(found, key=lambda answer: (answer.gain, -answer.loss)).options

    @property
    def reachable(self) -> float:
        """The most that can be gained whatever the loss."""
        return max(sum(table.most_gains) for table in self._tables)

    @cached_property
    def _tables(self) -> tuple[_Table, ...]:
        """One for each quant type that the layers which read the text may have."""
        several = len(self.menu.quant_types) > 1
        of_text = {o.quant_type for o in self.menu.options if reads_text(o.target)}
        types = sorted(of_text) if self.fused and several and of_text else [None]
        return tuple(
            _Table.of(
                decisions_of(
                    self.menu, fused=self.fused, text_type=kind, only_paying=self.only_paying
                ),
                self.gain,
                self.interactions,
            )
            for kind in types
        )

    def _least(self, table: _Table, needed: float) -> _Answer | None:
        if needed > sum(table.most_gains) * (1 + 1e-12):
            return None
        starts = [table.solved(losses, needed) for losses in table.start_losses]
        if self.interactions is None:
            return table.answer(starts[0])
        return table.answer(best_of(table.quadratic(needed), starts))

    def _most(self, table: _Table, budget: float) -> _Answer:
        if self.interactions is None:
            return table.answer(table.solved_within(budget))
        low, high = 0.0, sum(table.most_gains)
        best = table.answer(table.kept)
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            answer = self._least(table, middle)
            if answer is not None and answer.loss <= budget:
                best, low = max(best, answer, key=lambda a: a.gain), max(middle, answer.gain)
            else:
                high = middle
            if high - low <= 1e-4 * high:
                break
        return best


@dataclass(frozen=True, slots=True)
class _Answer:
    options: Chosen
    gain: float
    loss: float


@dataclass(frozen=True)
class _Table:
    """Decisions as arrays: a row for each alternative, those of one decision together."""

    alternatives: tuple[Chosen, ...]
    owner: Indices
    gains: Floats
    losses: Floats

    @classmethod
    def of(
        cls, decisions: Sequence[Decision], gain: Gain, interactions: Interactions | None
    ) -> _Table:
        rows = [(i, alt) for i, d in enumerate(decisions) for alt in d.alternatives]
        alternatives = tuple(alternative for _, alternative in rows)
        return cls(
            alternatives,
            np.array([i for i, _ in rows], dtype=np.int64),
            np.array([sum(gain(o) for o in alternative) for alternative in alternatives]),
            _losses(alternatives, interactions),
        )

    @cached_property
    def most_gains(self) -> list[float]:
        """Each decision's largest gain."""
        return [float(self.gains[self.owner == i].max()) for i in range(self.decisions)]

    @property
    def decisions(self) -> int:
        """How many there are."""
        return int(self.owner.max(initial=-1)) + 1

    @property
    def kept(self) -> Indices:
        """Nothing quantized."""
        return self._first

    @cached_property
    def _first(self) -> Indices:
        return (
            np.flatnonzero(np.r_[True, np.diff(self.owner) > 0]) if len(self.owner) else self.owner
        )

    @property
    def own(self) -> Floats:
        """Each alternative's loss on its own."""
        return self.losses if self.losses.ndim == 1 else np.diag(self.losses)

    @property
    def start_losses(self) -> list[Floats]:
        """Costs that count each alternative by itself: alone, and among all the others."""
        if self.losses.ndim == 1:
            return [self.losses]
        largest = [
            self._first[i] + int(self.gains[self.owner == i].argmax())
            for i in range(self.decisions)
        ]
        among = self.losses[:, largest].sum(axis=1)
        own = self.own
        halves = own + 0.5 * (among - own)
        return [own, np.maximum(among, 0.0), np.maximum(halves, 0.0)]

    def solved(self, losses: Floats, needed: float) -> Indices:
        """The least summed loss that reaches a gain."""
        return self._solved(losses, -self.gains, -needed)

    def solved_within(self, budget: float) -> Indices:
        """The most gain whose summed losses stay within a budget."""
        return self._solved(-self.gains, self.own, budget)

    def _solved(self, cost: Floats, weight: Floats, limit: float) -> Indices:
        ends = np.r_[self._first, len(self.owner)][1:]
        pairs = list(zip(cost.tolist(), weight.tolist(), strict=True))
        options = [pairs[a:b] for a, b in zip(self._first, ends, strict=True)]
        return self._first + solve(Knapsack.of(options, limit))

    def quadratic(self, needed: float) -> Quadratic:
        """The question with interactions."""
        slack = 1e-12 * float(np.abs(self.gains).sum())
        return Quadratic(self.owner, self.losses, -self.gains, -needed + slack)

    def answer(self, taken: Indices) -> _Answer:
        """The alternatives taken, with what they gain and cost."""
        options = tuple(o for place in taken for o in self.alternatives[place])
        form = self.losses[taken] if self.losses.ndim == 1 else self.losses[np.ix_(taken, taken)]
        return _Answer(options, float(self.gains[taken].sum()), float(form.sum()))


def _losses(alternatives: Sequence[Chosen], interactions: Interactions | None) -> Floats:
    """Each alternative's loss, or the matrix of how alternatives interact."""
    if interactions is None:
        return np.array([sum(o.loss for o in alternative) for alternative in alternatives])
    options = list(dict.fromkeys(o for alternative in alternatives for o in alternative))
    place = {option: row for row, option in enumerate(options)}
    members = np.zeros((len(alternatives), len(options)))
    for row, alternative in enumerate(alternatives):
        members[row, [place[option] for option in alternative]] = 1.0
    return np.asarray(members @ loss_matrix(options, interactions) @ members.T)


def calibrated(solver: Solver, calibration: Calibration) -> Solver:
    """The same solver after joint measurements."""
    return replace(solver, calibration=calibration)
