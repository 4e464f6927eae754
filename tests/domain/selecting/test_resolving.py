"""Choosing steps again and again: as good as trying every set of them, and shared work is right."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.selecting.candidates import Candidate, Candidates, Target, with_steps_kept
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.rules import Rule
from pixart_tui.domain.selecting.selection import Selection, bound_of, choose, solver_of
from pixart_tui.domain.selecting.step_effects import EffectsByType, StepEffects
from pixart_tui.reporting.selection_text import bound_text, kept_text
from tests.domain.selecting.candidate_sets import NAMES, TYPES

_CALLS = 10
_SAMPLES = 6
_RULES: tuple[tuple[Rule, float], ...] = (
    ("max-loss", 1e-3),
    ("flops-share", 0.5),
    ("saved-share", 0.6),
    ("time-share", 0.7),
)


def _effects(quant_type: str, seed: int, early: int = 0) -> StepEffects:
    rng = np.random.default_rng(seed)
    by_call = np.exp(rng.normal(size=(len(NAMES), _CALLS)))
    effects = rng.normal(size=(_SAMPLES, 4, len(NAMES), _CALLS)) * np.sqrt(1e-4 * by_call)
    first_calls = np.zeros((_SAMPLES, 4))
    if early:
        first_calls[:, 2:] = early
        effects[:, 2:, :, :early] = 0
    return StepEffects(
        quant_type=quant_type,
        targets=NAMES,
        effects=effects,
        first_calls=first_calls,
        saturations=(math.inf,) * _SAMPLES,
        prompts=tuple(f"prompt {i // 2}" for i in range(_SAMPLES)),
    )


def _case(seed: int = 0) -> SelectionProblem:
    rng = np.random.default_rng(seed)
    by_type = {x: _effects(x, 10 * seed + i) for i, x in enumerate(TYPES)}
    targets = tuple(
        Target(name=name, flops=int(rng.integers(1, 64)), unquantized_s=1e-5) for name in NAMES
    )
    options = tuple(
        Candidate(
            target=name,
            quant_type=quant_type,
            ssim=1 - float(known.whole.mean(axis=0)[place]),
            saved_s=float(rng.uniform(1e-6, 5e-6)),
            speeds_up=True,
        )
        for place, name in enumerate(NAMES)
        for quant_type, known in by_type.items()
    )
    return SelectionProblem(
        candidates=Candidates(targets=targets, options=options, quant_types=TYPES),
        rule="max-loss",
        parameter=1e-3,
        steps=_CALLS,
        choose_steps=True,
        effects=EffectsByType(by_type),
    )


def _worth(selection: Selection) -> float:
    by_gain = selection.rule == "max-loss"
    return -selection.gain if by_gain else selection.predicted_loss


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("rule", "parameter"), _RULES)
def test_no_set_of_steps_that_was_ruled_out_is_better(
    seed: int, rule: Rule, parameter: float
) -> None:
    case = _case(seed)
    assert case.effects is not None
    keys = [option.key for option in case.candidates.options]
    found = case.asking(rule, parameter).solved()
    for kept in (NO_STEPS, *case.effects.best_steps(keys, range(1, 6))):
        left = case.effects.left(kept)
        candidates = (
            with_steps_kept(case.candidates, kept, _CALLS, left) if kept else case.candidates
        )
        solver = solver_of(candidates, rule)
        try:
            other = choose(candidates, rule, parameter)
        except RequestError:
            continue
        assert bound_of(candidates, rule, parameter, solver) <= _worth(other) + 1e-12
        assert _worth(found) <= _worth(other) + 2e-3 * abs(_worth(other))


def test_another_question_is_answered_as_if_it_were_the_first() -> None:
    shared = _case()
    shared.solved()
    for rule, parameter in (*_RULES, ("max-loss", 2e-3), ("flops-share", 0.6)):
        assert shared.asking(rule, parameter).solved() == _case().asking(rule, parameter).solved()


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(RequestError, match="out of range"):
        _case().asking("flops-share", 1.1).solved()


def test_onediffs_rule_chooses_no_steps_but_keeps_those_that_are_asked_for() -> None:
    case = _case()
    one_type = case.candidates.replace(
        options=tuple(x for x in case.candidates.options if x.quant_type == TYPES[0]),
        quant_types=TYPES[:1],
    )
    with pytest.raises(RequestError, match="weighs gain against loss"):
        replace(case, candidates=one_type).asking("top-percentage", 50).solved()
    asked = KeptSteps(numbers=(2, 3))
    fixed = replace(case, candidates=one_type, choose_steps=False, kept_steps=asked)
    found = fixed.asking("top-percentage", 50).solved()
    assert found.kept_steps == asked
    assert found.choice.through_kept_steps == ()


def test_the_losses_of_a_selection_add_up_to_its_prediction() -> None:
    case = _case().asking("flops-share", 0.5)
    found = case.solved()
    losses = case.losses(found)
    assert losses.keys() == found.assignments.keys()
    assert sum(losses.values()) == pytest.approx(found.predicted_loss)


@pytest.mark.parametrize("early", [0, 4])
def test_a_loss_is_the_mean_square_of_the_quantized_calls(early: int) -> None:
    known = _effects(TYPES[0], 3, early)
    quantized = np.arange(_CALLS) % 3 > 0
    found = known.losses(quantized)
    assert found == pytest.approx(known.losses(np.tile(quantized, (len(NAMES), 1))))
    effects = known.effects * quantized
    late = effects[..., early:].sum(axis=3)
    whole = effects[:, : 2 if early else 4].sum(axis=3)
    of_late = np.square(late).mean(axis=1)
    difference = np.square(whole) - np.square(late[:, : whole.shape[1]])
    expected = np.maximum(of_late + difference.mean(axis=1), 0.25 * of_late)
    assert found == pytest.approx(expected)


def test_the_words_name_steps_layers_and_the_interval() -> None:
    found = _case().asking("flops-share", 0.5).solved()
    assert found.kept_steps
    there = len(found.choice.through_kept_steps)
    text = kept_text(found)
    assert text.startswith(f"steps kept: {found.kept_steps.words}, which gives up ")
    noun = "layer" if there == 1 else "layers"
    told = f"{there} {noun} quantized there too" if there else "in 16 bits"
    assert text.endswith(told)
    assert "95% interval for other prompts" in bound_text(found)
    one_prompt = found.replace(predicted_low=None)
    assert not bound_text(one_prompt)
    blind = one_prompt.replace(predicted_by_step=False)
    assert bound_text(blind) == ", as if no step were kept"
