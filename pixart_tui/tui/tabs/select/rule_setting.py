"""A rule and its parameter, as something that the arrow keys move."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from pixart_tui.domain.selecting.selection import Rule

RULES: Final[tuple[Rule, ...]] = (
    "top-percentage",
    "flops-share",
    "time-share",
    "saved-share",
    "max-loss",
)
OF_ONE_TYPE: Final[Rule] = "top-percentage"
"""OneDiff's rule: it chooses among layers of one quant type."""
BY_TIME: Final[tuple[Rule, ...]] = ("time-share", "saved-share")
RULE_NAMES: Final[dict[Rule, str]] = {
    "top-percentage": "top percentage",
    "flops-share": "FLOPs share",
    "time-share": "time share",
    "saved-share": "saved share",
    "max-loss": "max loss",
}
_STARTS: Final[dict[Rule, int]] = {
    "top-percentage": 90,
    "flops-share": 90,
    "time-share": 70,
    "saved-share": 80,
    "max-loss": -24,
}
_LIMITS: Final[dict[Rule, tuple[int, int]]] = {
    "top-percentage": (0, 100),
    "flops-share": (0, 100),
    "time-share": (0, 100),
    "saved-share": (0, 100),
    "max-loss": (-84, 12),
}
_STEPS_PER_DECADE: Final = 12


def is_offered(rule: Rule, *, timed: bool, mixed: bool) -> bool:
    """Whether a rule makes sense for what was measured."""
    return (timed or rule not in BY_TIME) and not (mixed and rule == OF_ONE_TYPE)


@dataclass(frozen=True, slots=True)
class RuleSetting:
    """A rule and a position on its scale.

    Attributes:
        rule: The rule.
        position: Percent, or twelfths of a decade of loss: 0 is 1.0, -12 is 0.1.
    """

    rule: Rule = "top-percentage"
    position: int = _STARTS["top-percentage"]

    def moved(self, steps: int) -> RuleSetting:
        """The rule_setting turned by some steps, to the end of its scale at most."""
        low, high = _LIMITS[self.rule]
        return replace(self, position=max(low, min(high, self.position + steps)))

    def next_rule(self, *, timed: bool = True, mixed: bool = False) -> RuleSetting:
        """The rule_setting of the next rule, at its usual place.

        Args:
            timed: Whether layers are timed; else no rule by time is taken.
            mixed: Whether there are several quant types; then the rule of one is left out.
        """
        rule = RULES[(RULES.index(self.rule) + 1) % len(RULES)]
        found = RuleSetting(rule, _STARTS[rule])
        if is_offered(rule, timed=timed, mixed=mixed):
            return found
        return found.next_rule(timed=timed, mixed=mixed)

    @property
    def parameter(self) -> float:
        """Returns the rule's parameter."""
        if self.rule == "top-percentage":
            return float(self.position)
        if self.rule in ("flops-share", *BY_TIME):
            return self.position / 100
        return float(f"{10 ** (self.position / _STEPS_PER_DECADE):.1e}")

    @property
    def fraction(self) -> float:
        """Where it stands on its scale, 0 to 1."""
        low, high = _LIMITS[self.rule]
        return (self.position - low) / (high - low)

    @property
    def text(self) -> str:
        """The parameter as it is shown."""
        return f"{self.parameter:g}" if self.rule == "max-loss" else f"{self.position} %"
