from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.selecting.candidates import Candidate, Candidates, Target
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.repair import Outcome, repair
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import (
    ImageSet,
    JointLoss,
    JointMeasurement,
    check_disjoint,
    three_sets,
)

_TYPE = "fp8_e4m3_e4m3_dynamic"


def _candidates(count: int = 20) -> Candidates:
    targets = tuple(Target(name=f"l{i}", flops=10) for i in range(count))
    options = tuple(
        Candidate(target=t.name, quant_type=_TYPE, ssim=1 - 1e-5 * (i + 1))
        for i, t in enumerate(targets)
    )
    return Candidates(targets=targets, options=options, quant_types=(_TYPE,))


def _case(budget: float = 1e-3, **changes: object) -> SelectionProblem:
    return replace(
        SelectionProblem(candidates=_candidates(), rule="max-loss", parameter=budget),
        **changes,  # type: ignore[arg-type]
    )


def _trial(selection: Selection, loss: float) -> JointMeasurement:
    measured = JointLoss(loss=loss, low=loss, high=loss, psnr_db=None, images=1)
    return JointMeasurement(
        purpose="repair",
        label="",
        assignments=selection.assignments,
        kept_steps=selection.kept_steps,
        predicted=selection.predicted_loss,
        measured=measured,
        elapsed_s=0,
    )


def _settled(case: SelectionProblem, loss_of: Callable[[Selection], float]) -> tuple[Outcome, int]:
    """What a repair settles for where a selection's loss is that of a formula."""
    proposals, measured = repair(case, 6), 0
    selection = next(proposals)
    while True:
        measured += 1
        try:
            selection = proposals.send(_trial(selection, loss_of(selection)))
        except StopIteration as end:
            return end.value, measured


@settings(deadline=None, max_examples=50)
@given(st.floats(0.4, 4.0), st.floats(1e-4, 1.8e-3))
def test_settles_within_the_budget_however_far_predictions_are_off(
    ratio: float, budget: float
) -> None:
    (selection, trial), measured = _settled(_case(budget), lambda s: ratio * s.predicted_loss)
    assert trial.loss <= budget
    assert measured <= 6
    # What is left of the budget is too little for the cheapest layer that was not taken, or small.
    spare = budget / ratio - selection.predicted_loss
    cheapest = min((1e-5 * (int(fqn[1:]) + 1) for fqn in selection.kept), default=spare)
    assert spare <= max(0.08 * budget / ratio, 1.5 * cheapest)


def test_losses_that_no_selection_keeps_within_the_budget_are_told() -> None:
    with pytest.raises(WorkError, match="no selection was found"):
        _settled(_case(1e-3), lambda s: 1.0)


def test_a_budget_that_no_layer_fits_into_is_not_told_as_measured() -> None:
    with pytest.raises(WorkError) as raised:
        _settled(_case(0.0), lambda s: 1.0)
    assert "after 0 measured" in raised.value.cause


def test_a_share_is_measured_once() -> None:
    case = _case(rule="flops-share", parameter=0.8)
    (selection, _), measured = _settled(case, lambda s: s.predicted_loss)
    assert measured == 1
    assert selection.flops_share >= 0.8 - 1e-9
    assert len(selection.chosen) == 16


def test_sets_that_share_a_prompt_or_a_seed_are_refused() -> None:
    fitting = ImageSet(prompts=("a", "b"), seeds=(0,))
    for other in (ImageSet(prompts=("b",), seeds=(1,)), ImageSet(prompts=("c",), seeds=(0,))):
        with pytest.raises(RequestError, match="share images"):
            check_disjoint({"fitting": fitting, "repairing": other})


@given(st.integers(2, 30), st.integers(1, 20), st.integers(2, 40))
def test_the_sets_that_are_made_are_disjoint(prompts: int, repair: int, report: int) -> None:
    names = [f"p{i}" for i in range(prompts + 2)]
    fitting = ImageSet(prompts=("p0", "p1"), seeds=(0, 1))
    made = three_sets(names, fitting, repair_images=repair, report_images=report)
    check_disjoint({"fitting": fitting, "repairing": made[0], "reporting": made[1]})
    assert made[0].images >= repair
    assert made[1].images >= report


@given(st.integers(4, 30), st.integers(1, 20), st.integers(2, 40), st.booleans())
def test_a_set_that_is_made_beside_a_given_one_shares_nothing_with_it(
    prompts: int, repair: int, report: int, repairing: bool
) -> None:
    names = [f"p{i}" for i in range(prompts)]
    fitting = ImageSet(prompts=("p0",), seeds=(0,))
    given = ImageSet(prompts=("p1", "mine"), seeds=(1 if repairing else 2,))
    made = three_sets(names, fitting, repair_images=repair, report_images=report, given=given)
    sets = (given, made[1]) if repairing else (made[0], given)
    check_disjoint({"fitting": fitting, "repairing": sets[0], "reporting": sets[1]})


def test_a_report_of_one_image_is_refused_as_it_has_no_interval() -> None:
    with pytest.raises(RequestError, match="single image"):
        check_disjoint({"reporting": ImageSet(prompts=("a",), seeds=(0,))})
