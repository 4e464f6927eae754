"""Which selection to measure next on the repair set, until one holds.

A repair is a generator: it yields a selection, is sent what was measured of it, and returns the
selection that it settles for. It depends on nothing else, so that a run that was interrupted is
resumed by sending it again what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Final, TypeAlias

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.selecting.menu import Menu, Option
from pixart_tui.domain.selecting.prediction import UNCALIBRATED, Calibration
from pixart_tui.domain.selecting.verification import Trial
from pixart_tui.domain.selection import NOTHING_KNOWN, Knowledge, Rule, Selection, choose, describe
from pixart_tui.domain.values import Value

Outcome: TypeAlias = tuple[Selection, Trial]
Repair: TypeAlias = Generator[Selection, Trial, Outcome]

_TIGHTER: Final = 1.03
_NEAR: Final = 0.93
"""A selection that uses this part of the budget is not worth another measurement."""


class Case(Value):
    """What is to be verified.

    Attributes:
        menu: The targets and their options.
        rule: The rule.
        parameter: Its parameter.
        fused: Whether layers that read the same rows are decided together.
        knowledge: How layers interact, where that was measured.
        rounds: The most selections that are measured.
    """

    menu: Menu
    rule: Rule
    parameter: float
    fused: bool = False
    knowledge: Knowledge = NOTHING_KNOWN
    rounds: int = 6

    def solved(self, knowledge: Knowledge) -> Selection:
        """The rule's selection, given what is known."""
        return choose(self.menu, self.rule, self.parameter, fused=self.fused, knowledge=knowledge)

    def predicted(self, selection: Selection) -> Selection:
        """The same selection with the loss that is predicted before any joint measurement."""
        known = self.knowledge.model_copy(update={"calibration": UNCALIBRATED})
        options = options_of(self.menu, selection)
        return describe(
            self.menu, self.rule, self.parameter, options, fused=self.fused, knowledge=known
        )


def repair(case: Case) -> Repair:
    """Proposes selections until the budget holds, or the best of a few where there is none."""
    return _within_budget(case) if case.rule == "max-loss" else _best_of(case)


def options_of(menu: Menu, selection: Selection) -> list[Option]:
    """The options that a selection took."""
    return [o for o in menu.options if selection.assignments.get(o.target) == o.quant_type]


def seed_rule_at_share(menu: Menu, flops_share: float) -> list[Option]:
    """The seed's rule at a share: the layers by SSIM, until their FLOPs reach it."""
    flops = {target.name: target.flops for target in menu.targets}
    taken: list[Option] = []
    reached = 0
    for option in sorted(menu.options, key=lambda o: o.ssim, reverse=True):
        if reached >= flops_share * menu.flops * (1 - 1e-12):
            break
        taken.append(option)
        reached += flops[option.target]
    return taken


def _best_of(case: Case) -> Repair:
    """Measures what each prediction would choose and settles for the least loss."""
    known = case.solved(case.knowledge)
    proposals = [known, case.solved(NOTHING_KNOWN)]
    if case.rule == "flops-share" and len(case.menu.quant_types) == 1:
        seed_rule = seed_rule_at_share(case.menu, case.parameter)
        proposals.append(describe(case.menu, case.rule, case.parameter, seed_rule))
    if case.rule == "top-percentage":
        proposals = [known]
    measured: list[Outcome] = []
    for proposal in _distinct(proposals)[: case.rounds]:
        selection = case.predicted(proposal)
        measured.append((selection, (yield selection)))
    return min(measured, key=lambda outcome: outcome[1].loss)


def _within_budget(case: Case) -> Repair:
    """Re-solves with losses scaled by what was measured, from both sides, until that is settled."""
    holding: list[Outcome] = []
    fails_at, holds_at, scale = 0.0, float("inf"), 1.0
    for _ in range(case.rounds):
        known = case.knowledge.model_copy(update={"calibration": Calibration(scale=scale)})
        selection = case.predicted(case.solved(known))
        if not selection.chosen or _seen(selection, holding):
            break
        trial = yield selection
        ratio = trial.loss / max(selection.predicted_loss, 1e-12)
        if trial.loss <= case.parameter:
            holding.append((selection, trial))
            holds_at = min(holds_at, scale)
            if trial.loss >= _NEAR * case.parameter:
                break
        else:
            fails_at = max(fails_at, scale)
        scale = _next_scale(ratio, fails_at, holds_at)
        if holds_at <= fails_at * _TIGHTER:
            break
    if not holding:
        raise _nothing_holds(case)
    return max(holding, key=lambda outcome: _gain(outcome[0]))


def _next_scale(ratio: float, fails_at: float, holds_at: float) -> float:
    """Between what held and what did not; beyond both by what the last measurement says."""
    if fails_at and holds_at < float("inf"):
        return math.sqrt(fails_at * holds_at)
    finite = ratio if ratio < float("inf") else 2 * fails_at
    return max(finite, fails_at * _TIGHTER) if fails_at else min(finite, holds_at / _TIGHTER)


def _seen(selection: Selection, holding: list[Outcome]) -> bool:
    return any(selection.assignments == known.assignments for known, _ in holding)


def _gain(selection: Selection) -> float:
    saved_s = selection.predicted_time_saved_s
    return selection.flops_share if saved_s is None else saved_s


def _distinct(selections: list[Selection]) -> list[Selection]:
    found: list[Selection] = []
    for selection in selections:
        if all(selection.assignments != other.assignments for other in found):
            found.append(selection)
    return found


def _nothing_holds(case: Case) -> WorkError:
    return WorkError(
        f"no selection was found that keeps 1 - SSIM within {case.parameter:g}",
        f"{case.rounds} were measured at most, each smaller than the one before",
        "allow more with --max-loss, or measure more with --rounds",
    )
