"""The two questions that a menu is asked: the least loss for a gain, the most gain for a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.selecting.decisions import Decision, decisions_of
from pixart_tui.domain.selecting.menu import Menu, Option
from pixart_tui.domain.selecting.prediction import predicted_loss
from pixart_tui.domain.selecting.roles import reads_text

Gain: TypeAlias = Callable[[Option], float]
Chosen: TypeAlias = tuple[Option, ...]
Decisions: TypeAlias = tuple[Decision, ...]


@dataclass(frozen=True)
class Solver:
    """Answers questions about one menu.

    Attributes:
        menu: The targets and their options.
        gain: What quantizing an option's target is worth.
        fused: Whether layers that read the same rows are decided together.
        only_paying: Whether options that were timed and save nothing are left out.
    """

    menu: Menu
    gain: Gain
    fused: bool = False
    only_paying: bool = False

    def least_loss(self, needed: float) -> Chosen:
        """The options with the least predicted loss whose gains reach ``needed``.

        Raises:
            WorkError: No choice reaches it.
        """
        found = [
            _taken(decisions, self._loss, lambda chosen: -self._gain(chosen), -needed)
            for decisions in self._variants
            if needed <= self._most(decisions) * (1 + 1e-12)
        ]
        if not found:
            raise WorkError("no selection was found", "no choice gains that much", "ask for less")
        return min(found, key=lambda chosen: (self._loss(chosen), -self._gain(chosen)))

    def most_gain(self, budget: float) -> Chosen:
        """The options with the most gain whose predicted loss stays within ``budget``."""
        found = [
            _taken(decisions, lambda chosen: -self._gain(chosen), self._loss, budget)
            for decisions in self._variants
        ]
        return max(found, key=lambda chosen: (self._gain(chosen), -self._loss(chosen)))

    @property
    def reachable(self) -> float:
        """The most that can be gained whatever the loss."""
        return max(self._most(decisions) for decisions in self._variants)

    @cached_property
    def _variants(self) -> tuple[Decisions, ...]:
        """One for each quant type that the layers which read the text may have."""
        several = len(self.menu.layer_types) > 1
        of_text = {o.quant_type for o in self.menu.options if reads_text(o.target)}
        types = sorted(of_text) if self.fused and several and of_text else [None]
        return tuple(
            decisions_of(self.menu, fused=self.fused, text_type=x, only_paying=self.only_paying)
            for x in types
        )

    def _gain(self, chosen: Chosen) -> float:
        return sum(self.gain(option) for option in chosen)

    def _loss(self, chosen: Chosen) -> float:
        return predicted_loss(chosen)

    def _most(self, decisions: Decisions) -> float:
        return sum(max(self._gain(a) for a in decision.alternatives) for decision in decisions)


def _taken(
    decisions: Sequence[Decision],
    cost: Callable[[Chosen], float],
    weight: Callable[[Chosen], float],
    limit: float,
) -> Chosen:
    """The alternatives with the least cost whose weights stay within a limit."""
    if not decisions:
        return ()
    # Only now: looking at a selection needs no solver.
    from pixart_tui.domain.selecting.knapsack import Knapsack, solve

    pairs = [[(cost(a), weight(a)) for a in decision.alternatives] for decision in decisions]
    picks = solve(Knapsack.of(pairs, limit))
    chosen = zip(decisions, picks, strict=True)
    return tuple(option for decision, pick in chosen for option in decision.alternatives[pick])
