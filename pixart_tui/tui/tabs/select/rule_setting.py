"""A rule and its parameter, as something that the arrow keys move."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

from pixart_tui.domain.selecting.rules import DEFAULT_RULE, RULES, Rule

_STEPS_PER_DECADE: Final = 12
_LOSSES: Final = (-84, 12)
"""Positions of the smallest and the largest loss that can be set."""


def is_offered(rule: Rule, *, timed: bool, mixed: bool) -> bool:
    """Whether a rule makes sense for what was measured."""
    spec = RULES[rule]
    return (timed or not spec.by_time) and not (mixed and spec.one_type)


@dataclass(frozen=True, slots=True)
class RuleSetting:
    """A rule and a position on its scale.

    Attributes:
        rule: The rule.
        position: Percent, or twelfths of a decade of loss: 0 is 1.0, -12 is 0.1.
    """

    rule: Rule = "top-percentage"
    position: int = int(DEFAULT_RULE.usual)

    def moved(self, steps: int) -> RuleSetting:
        """The rule setting turned by some steps, to the end of its scale at most."""
        low, high = _limits(self.rule)
        return replace(self, position=max(low, min(high, self.position + steps)))

    def next_rule(self, *, timed: bool = True, mixed: bool = False) -> RuleSetting:
        """The rule setting of the next rule, at its usual place.

        Args:
            timed: Whether layers are timed; else no rule by time is taken.
            mixed: Whether there are several quant types; then the rule of one is left out.
        """
        rules = tuple(RULES)
        rule = rules[(rules.index(self.rule) + 1) % len(rules)]
        found = RuleSetting(rule, _start(rule))
        if is_offered(rule, timed=timed, mixed=mixed):
            return found
        return found.next_rule(timed=timed, mixed=mixed)

    @property
    def parameter(self) -> float:
        """Returns the rule's parameter."""
        if math.isfinite(highest := RULES[self.rule].highest):
            return self.position * highest / 100
        return float(f"{10 ** (self.position / _STEPS_PER_DECADE):.1e}")

    @property
    def fraction(self) -> float:
        """Where it stands on its scale, 0 to 1."""
        low, high = _limits(self.rule)
        return (self.position - low) / (high - low)

    @property
    def text(self) -> str:
        """The parameter as it is shown."""
        return f"{self.parameter:g}" if self.rule == "max-loss" else f"{self.position} %"


def _limits(rule: Rule) -> tuple[int, int]:
    return (0, 100) if math.isfinite(RULES[rule].highest) else _LOSSES


def _start(rule: Rule) -> int:
    spec = RULES[rule]
    if math.isfinite(spec.highest):
        return round(100 * spec.usual / spec.highest)
    return round(_STEPS_PER_DECADE * math.log10(spec.usual))
