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
from pixart_tui.domain.selecting.candidates import Candidate, Candidates
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import JointMeasurement

Outcome: TypeAlias = tuple[Selection, JointMeasurement]
Repair: TypeAlias = Generator[Selection, JointMeasurement, Outcome]

_TIGHTER: Final = 1.03
_NEAR: Final = 0.93
"""A selection that uses this part of the budget is not worth another measurement."""


def repair(case: SelectionProblem, rounds: int) -> Repair:
    """Proposes selections until the budget holds, so many at the most; without a budget, one."""
    return _within_budget(case, rounds) if case.rule == "max-loss" else _measured_once(case)


def onediff_rule_at_share(candidates: Candidates, flops_share: float) -> list[Candidate]:
    """OneDiff's rule at a share: the layers by SSIM, until their FLOPs reach it."""
    flops = {target.name: target.flops for target in candidates.targets}
    taken: list[Candidate] = []
    reached = 0
    for option in sorted(candidates.of_layers.options, key=lambda o: o.ssim, reverse=True):
        if reached >= flops_share * candidates.flops * (1 - 1e-12):
            break
        taken.append(option)
        reached += flops[option.target]
    return taken


def _measured_once(case: SelectionProblem) -> Repair:
    selection = case.solved()
    return selection, (yield selection)


def _within_budget(case: SelectionProblem, rounds: int) -> Repair:
    """Re-solves with losses scaled by what was measured, from both sides, until that is settled."""
    holding: list[Outcome] = []
    measured = 0
    fails_at, holds_at, scale = 0.0, float("inf"), 1.0
    for _ in range(rounds):
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
        raise _nothing_holds(case, rounds, measured)
    return max(holding, key=lambda outcome: outcome[0].gain)


def _next_scale(ratio: float, fails_at: float, holds_at: float) -> float:
    """Between what held and what did not; beyond both by what the last measurement says."""
    if fails_at and holds_at < float("inf"):
        return math.sqrt(fails_at * holds_at)
    finite = ratio if ratio < float("inf") else 2 * fails_at
    return max(finite, fails_at * _TIGHTER) if fails_at else min(finite, holds_at / _TIGHTER)


def _seen(selection: Selection, holding: list[Outcome]) -> bool:
    return any(_same(selection, known) for known, _ in holding)


def _same(one: Selection, other: Selection) -> bool:
    return one.choice == other.choice


def _nothing_holds(case: SelectionProblem, rounds: int, measured: int) -> WorkError:
    title = f"no selection was found that keeps 1 - SSIM within {case.parameter:g}"
    if measured < rounds:
        cause = "after {} measured, no layer is left that is predicted to cost so little"
        return WorkError(
            title, cause=cause.format(measured), next_step="allow more with --max-loss"
        )
    return WorkError(
        title,
        cause=f"{measured} were measured, each smaller than the one before",
        next_step="allow more with --max-loss, or measure more with --rounds",
    )
