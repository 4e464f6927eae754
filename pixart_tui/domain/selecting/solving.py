"""Solves the two selection problems: the least loss for a gain, and the most gain for a loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.layers.roles import reads_text
from pixart_tui.domain.selecting.candidates import Candidate, Candidates
from pixart_tui.domain.selecting.decisions import Decision, decisions_of
from pixart_tui.domain.selecting.prediction import predicted_loss

if TYPE_CHECKING:
    from pixart_tui.domain.selecting.knapsack import Knapsack

Gain: TypeAlias = Callable[[Candidate], float]
Chosen: TypeAlias = tuple[Candidate, ...]
Decisions: TypeAlias = tuple[Decision, ...]
Amounts: TypeAlias = tuple[tuple[float, ...], ...]
"""A number for each alternative of each decision."""


@dataclass(frozen=True)
class Solver:
    """Answers questions about one candidates; the first takes the longest.

    Attributes:
        candidates: The targets and their options.
        gain: What quantizing an option's target is worth.
        fused: Whether layers that read the same rows are decided together.
        only_paying: Whether options that were timed and save nothing are left out.
    """

    candidates: Candidates
    gain: Gain
    fused: bool = False
    only_paying: bool = False

    def least_loss(self, needed: float) -> Chosen:
        """The options with the least predicted loss whose gains reach ``needed``.

        Raises:
            WorkError: No choice reaches it.
        """
        found = [
            variant.least_loss(needed)
            for variant in self._variants
            if needed <= variant.most * (1 + 1e-12)
        ]
        if not found:
            raise WorkError(
                "no selection was found",
                cause="no choice gains that much",
                next_step="ask for less",
            )
        return min(found, key=lambda chosen: (predicted_loss(chosen), -self._gain(chosen)))

    def most_gain(self, budget: float) -> Chosen:
        """The options with the most gain whose predicted loss stays within ``budget``."""
        found = [variant.most_gain(budget) for variant in self._variants]
        return max(found, key=lambda chosen: (self._gain(chosen), -predicted_loss(chosen)))

    def loss_bound(self, needed: float) -> float:
        """Returns a lower bound of the loss of every choice whose gain reaches ``needed``."""
        return min(variant.loss_bound(needed) for variant in self._variants)

    def gain_bound(self, budget: float) -> float:
        """Returns an upper bound of the gain of every choice whose loss stays within ``budget``."""
        return max(variant.gain_bound(budget) for variant in self._variants)

    @property
    def reachable(self) -> float:
        """The most that can be gained whatever the loss."""
        return max(variant.most for variant in self._variants)

    @cached_property
    def reachable_at_every_step(self) -> float:
        """The most that could be gained if every step were quantized."""
        options = tuple(o.replace(steps_share=1.0) for o in self.candidates.options)
        candidates = self.candidates.replace(options=options)
        return replace(self, candidates=candidates).reachable

    @cached_property
    def _variants(self) -> tuple[_Variant, ...]:
        """One for each quant type that the layers which read the text may have."""
        several = len(self.candidates.layer_types) > 1
        of_text = {o.quant_type for o in self.candidates.options if reads_text(o.target)}
        types = sorted(of_text) if self.fused and several and of_text else [None]
        made = (
            decisions_of(
                self.candidates, fused=self.fused, text_type=x, only_paying=self.only_paying
            )
            for x in types
        )
        return tuple(_Variant.of(decisions, self._gain) for decisions in made)

    def _gain(self, chosen: Chosen) -> float:
        return sum(self.gain(option) for option in chosen)


@dataclass(frozen=True)
class _Variant:
    """Decisions, and what each of their alternatives gains and costs."""

    decisions: Decisions
    gains: Amounts
    losses: Amounts

    @classmethod
    def of(cls, decisions: Decisions, gain: Callable[[Chosen], float]) -> _Variant:
        return cls(
            decisions=decisions,
            gains=tuple(tuple(gain(a) for a in x.alternatives) for x in decisions),
            losses=tuple(tuple(predicted_loss(a) for a in x.alternatives) for x in decisions),
        )

    @cached_property
    def most(self) -> float:
        return sum(max(gains) for gains in self.gains)

    def least_loss(self, needed: float) -> Chosen:
        return self._taken(self._loss_for_gain, -needed)

    def most_gain(self, budget: float) -> Chosen:
        return self._taken(self._gain_for_loss, budget)

    def loss_bound(self, needed: float) -> float:
        return _least_cost(self._loss_for_gain, -needed)

    def gain_bound(self, budget: float) -> float:
        return -_least_cost(self._gain_for_loss, budget)

    @cached_property
    def _loss_for_gain(self) -> Knapsack:
        return _knapsack(self.losses, _negative(self.gains))

    @cached_property
    def _gain_for_loss(self) -> Knapsack:
        return _knapsack(_negative(self.gains), self.losses)

    def _taken(self, problem: Knapsack, limit: float) -> Chosen:
        """The alternatives with the least cost whose weights stay within a limit."""
        if not self.decisions:
            return ()
        from pixart_tui.domain.selecting.knapsack import solve  # as below

        picks = solve(replace(problem, limit=limit))
        chosen = zip(self.decisions, picks, strict=True)
        return tuple(option for decision, pick in chosen for option in decision.alternatives[pick])


def _least_cost(problem: Knapsack, limit: float) -> float:
    from pixart_tui.domain.selecting.knapsack import least_cost  # as below

    return least_cost(replace(problem, limit=limit))


def _negative(amounts: Amounts) -> Amounts:
    return tuple(tuple(-x for x in row) for row in amounts)


def _knapsack(costs: Amounts, weights: Amounts) -> Knapsack:
    """Without a limit, which each question has of its own."""
    # Only now: looking at a selection needs no solver.
    from pixart_tui.domain.selecting.knapsack import Knapsack

    rows = zip(costs, weights, strict=True)
    return Knapsack.of([list(zip(*row, strict=True)) for row in rows], 0.0)
