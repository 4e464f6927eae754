"""Selections with steps to choose."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.candidates import Candidate, Candidates, Target
from pixart_tui.domain.selecting.problem import SelectionProblem
from tests.domain.selecting.effects import FP8, by_type, step_effects

_LATE = (0.01, 0.01, 0.02, 0.1, 1.0)
_EARLY = (1.0, 0.01, 0.01, 0.01, 0.01)
_STEPS = len(_LATE)


def _case(*sizes: tuple[float, ...], **changes: object) -> SelectionProblem:
    """Targets of equal FLOPs, whose losses are those of their effects."""
    known = step_effects([[0.01 * x for x in of] for of in sizes])
    losses = known.whole.mean(axis=0)
    candidates = Candidates(
        targets=tuple(Target(name=name, flops=10) for name in known.targets),
        options=tuple(
            Candidate(target=name, quant_type=FP8, ssim=1 - float(loss))
            for name, loss in zip(known.targets, losses, strict=True)
        ),
        quant_types=(FP8,),
    )
    case = SelectionProblem(
        candidates=candidates,
        rule="flops-share",
        parameter=0.8,
        steps=_STEPS,
        choose_steps=True,
        effects=by_type(known),
    )
    return replace(case, **changes)  # type: ignore[arg-type]


def test_the_step_that_costs_is_kept_and_the_prediction_is_what_is_left() -> None:
    every, chosen = (_case(*[_LATE] * 6, choose_steps=x).solved() for x in (False, True))
    assert every.kept_steps == NO_STEPS
    assert chosen.kept_steps == KeptSteps(numbers=(5,))
    assert chosen.flops_share >= 0.8 - 1e-9
    left = 0.01**2 + 0.01**2 + 0.02**2 + 0.1**2
    assert chosen.predicted_loss == pytest.approx(1e-4 * 1.5 * 6 * left, rel=0.2)
    assert chosen.predicted_loss < every.predicted_loss / 50
    assert chosen.predicted_low is not None
    assert chosen.predicted_high is not None
    assert chosen.predicted_low < chosen.predicted_loss < chosen.predicted_high


def test_layers_that_hardly_cost_there_are_quantized_at_the_kept_steps_too() -> None:
    """Two layers cost at the last step, the others nowhere: with them the share is reached."""
    quiet = tuple(0.01 * x for x in _EARLY)
    found = _case(_LATE, _LATE, *[quiet] * 8, parameter=0.95).solved()
    assert found.kept_steps == KeptSteps(numbers=(5,))
    assert len(found.at_every_step) == 8
    assert set(found.kept) == set()
    assert found.flops_share == pytest.approx((8 + 2 * 4 / 5) / 10)


def test_a_budget_takes_the_most_within_it() -> None:
    every, chosen = (
        _case(*[_LATE] * 6, rule="max-loss", parameter=2e-4, choose_steps=x).solved()
        for x in (False, True)
    )
    assert chosen.gain > every.gain
    assert chosen.predicted_loss <= 2e-4


def test_steps_that_are_asked_for_are_kept_beside_the_chosen() -> None:
    found = _case(*[_LATE] * 6, kept_steps=KeptSteps(first=1), parameter=0.5).solved()
    assert set(found.kept_steps.kept(_STEPS)) >= {0, 4}


def test_asked_steps_without_effects_leave_a_bound() -> None:
    asked = {"kept_steps": KeptSteps(last=1), "choose_steps": False, "parameter": 0.5}
    known, bound = (_case(*[_LATE] * 6, **asked, **x).solved() for x in ({}, {"effects": None}))
    assert bound.predicted_low is None
    assert bound.at_every_step == ()
    assert known.predicted_loss < bound.predicted_loss / 10


def test_without_effects_steps_cannot_be_chosen() -> None:
    with pytest.raises(RequestError, match="needs the effects of single steps") as raised:
        _case(_LATE, effects=None).solved()
    assert "--method adjoint" in raised.value.next_step


def test_a_share_that_nothing_reaches_is_refused_as_it_is_without_steps() -> None:
    case = _case(*[_LATE] * 2)
    candidates = case.candidates.replace(options=case.candidates.options[:1])
    with pytest.raises(RequestError, match="do not reach that share"):
        replace(case, candidates=candidates).solved()
