"""Which selection to measure next on the repair set, until one holds.

A repair is a generator: it yields a selection, is sent what was measured of it, and returns the
selection that it settles for. It depends on nothing else, so that a run that was interrupted is
resumed by sending it again what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from typing import Final, TypeAlias

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.selecting.menu import Menu, Option, with_steps_kept
from pixart_tui.domain.selecting.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.verification import Trial
from pixart_tui.domain.selection import Rule, Selection, choose
from pixart_tui.domain.values import Value

Outcome: TypeAlias = tuple[Selection, Trial]
Repair: TypeAlias = Generator[Selection, Trial, Outcome]

_TIGHTER: Final = 1.03
_NEAR: Final = 0.93
"""A selection that uses this part of the budget is not worth another measurement."""


class StepChoice(Value):
    """Steps that may stay in the compute dtype, and what is left of the loss then.

    Attributes:
        kept: The steps.
        factor: Loss with them kept over loss with every step quantized.
    """

    kept: KeptSteps = NO_STEPS
    factor: float = 1.0


EVERY_STEP: Final = StepChoice()


class Case(Value):
    """What is to be verified.

    Attributes:
        menu: The targets and their options.
        rule: The rule.
        parameter: Its parameter.
        fused: Whether layers that read the same rows are decided together.
        steps: Denoising steps of an image.
        step_choices: Among which steps the selection chooses, at least one.
        rounds: The most selections that are measured.
    """

    menu: Menu
    rule: Rule
    parameter: float
    fused: bool = False
    steps: int = 1
    step_choices: tuple[StepChoice, ...] = (EVERY_STEP,)
    rounds: int = 6

    def solved(self, scale: float = 1.0) -> Selection:
        """The best of the rule's selections over the choices of steps.

        Raises:
            RequestError: None of them can be made.
        """
        found, refused = [], None
        for choice in self.step_choices:
            try:
                found.append(self._solved(choice, scale))
            except RequestError as error:  # fewer steps may not reach the share
                refused = refused or error
        if not found:
            raise refused or RequestError("there are no steps to choose from")
        return min(found, key=self._order)

    def menu_of(self, choice: StepChoice) -> Menu:
        """The menu with a choice's steps kept."""
        if not choice.kept:
            return self.menu
        return with_steps_kept(self.menu, choice.kept, self.steps, choice.factor)

    def _solved(self, choice: StepChoice, scale: float) -> Selection:
        menu = self.menu_of(choice)
        found = choose(menu, self.rule, self.parameter, fused=self.fused, scale=scale)
        # Whatever it was solved with: the prediction is that of before any joint measurement.
        return found.model_copy(update={"predicted_loss": found.predicted_loss / scale})

    def _order(self, selection: Selection) -> tuple[float, float]:
        if self.rule == "max-loss":
            return (-_gain(selection), selection.predicted_loss)
        return (selection.predicted_loss, -_gain(selection))


def repair(case: Case) -> Repair:
    """Proposes selections until the budget holds; without a budget, one."""
    return _within_budget(case) if case.rule == "max-loss" else _measured_once(case)


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


def _measured_once(case: Case) -> Repair:
    selection = case.solved()
    return selection, (yield selection)


def _within_budget(case: Case) -> Repair:
    """Re-solves with losses scaled by what was measured, from both sides, until that is settled."""
    holding: list[Outcome] = []
    measured = 0
    fails_at, holds_at, scale = 0.0, float("inf"), 1.0
    for _ in range(case.rounds):
        selection = case.solved(scale)
        if not selection.chosen or _seen(selection, holding):
            break
        trial = yield selection
        measured += 1
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
        raise _nothing_holds(case, measured)
    return max(holding, key=lambda outcome: _gain(outcome[0]))


def _next_scale(ratio: float, fails_at: float, holds_at: float) -> float:
    """Between what held and what did not; beyond both by what the last measurement says."""
    if fails_at and holds_at < float("inf"):
        return math.sqrt(fails_at * holds_at)
    finite = ratio if ratio < float("inf") else 2 * fails_at
    return max(finite, fails_at * _TIGHTER) if fails_at else min(finite, holds_at / _TIGHTER)


def _seen(selection: Selection, holding: list[Outcome]) -> bool:
    return any(_same(selection, known) for known, _ in holding)


def _same(one: Selection, other: Selection) -> bool:
    return (one.assignments, one.kept_steps) == (other.assignments, other.kept_steps)


def _gain(selection: Selection) -> float:
    saved_s = selection.predicted_time_saved_s
    return selection.flops_share if saved_s is None else saved_s


def _nothing_holds(case: Case, measured: int) -> WorkError:
    title = f"no selection was found that keeps 1 - SSIM within {case.parameter:g}"
    if measured < case.rounds:
        cause = "after {} measured, no layer is left that is predicted to cost so little"
        return WorkError(title, cause.format(measured), "allow more with --max-loss")
    return WorkError(
        title,
        f"{measured} were measured, each smaller than the one before",
        "allow more with --max-loss, or measure more with --rounds",
    )
