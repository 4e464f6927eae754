"""A selection, or why there is none, as one value that a thread can hand over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.domain.selecting.candidates import candidates_of_scores
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.tui.state.overview import ProfileView
from pixart_tui.tui.tabs.select.rule_setting import RuleSetting

if TYPE_CHECKING:
    from pixart_tui.domain.selecting.step_effects import EffectsByType

EXHAUSTIVE: Final = (
    "steps cannot be chosen: the exhaustive method quantizes a layer at all steps at once; "
    "profile with --method adjoint"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A question to the solver; equal questions have equal answers.

    Attributes:
        run_id: The profile's run.
        quant_types: The quant types to choose from.
        measured: What is done so far, and what of it is scored.
        rule_setting: The rule and its parameter.
        choose_steps: Whether to choose also the steps at which less is quantized.
    """

    run_id: str
    quant_types: tuple[str, ...]
    measured: tuple[int, int]
    rule_setting: RuleSetting
    choose_steps: bool = False

    @property
    def subject(self) -> tuple[object, ...]:
        """Returns the question without rule and parameter."""
        return (self.run_id, self.quant_types, self.measured, self.choose_steps)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question.

    Attributes:
        question: The question.
        selection: The selection, None if there is none.
        problem: Why there is none.
        losses: Of each quantized layer, the loss alone at those steps at which it is quantized;
            empty where no step is kept.
        case: What was worked out on the way, for the next question on the same subject.
    """

    question: Question
    selection: Selection | None = None
    problem: str = ""
    losses: Mapping[str, float] = field(default_factory=dict)
    case: SelectionProblem | None = field(default=None, compare=False, repr=False)


def question_of(
    view: ProfileView, rule_setting: RuleSetting, *, choose_steps: bool = False
) -> Question:
    """The question that a profile and a rule setting ask."""
    return Question(view.run.id, view.quant_types, measured_of(view), rule_setting, choose_steps)


def measured_of(view: ProfileView) -> tuple[int, int]:
    """Returns the key of a profile's figures: see ``Question``."""
    profile = view.profile
    return (view.run.done, len(profile.measurements) + len(profile.effects) if profile else 0)


def why_no_steps(view: ProfileView) -> str:
    """Why steps cannot be chosen; empty if they can."""
    profile = view.profile
    if profile is None:
        return "steps cannot be chosen yet: the profile has not begun to measure"
    if profile.conditions.method != "adjoint":
        return EXHAUSTIVE
    if not all(figures.profile.effects for figures in view.figures):
        return "steps cannot be chosen yet: no sample is measured"
    return ""


def solve(
    view: ProfileView,
    rule_setting: RuleSetting,
    *,
    choose_steps: bool = False,
    last: Answer | None = None,
) -> Answer:
    """Applies the rule; takes a few hundredths of a second, the first time half a second.

    Args:
        view: The profile.
        rule_setting: The rule and its parameter.
        choose_steps: Whether to choose also the steps at which less is quantized.
        last: The answer before: on the same subject it saves most of the time.
    """
    question = question_of(view, rule_setting, choose_steps=choose_steps)
    if not view.figures:
        return Answer(question, problem="the profile has not begun to measure")
    case = _case(view, question, last)
    try:
        selection = case.solved()
    except PixartTuiError as error:
        problem = ": ".join(filter(None, (error.title, error.cause)))
        return Answer(question, problem=problem, case=case)
    losses = case.losses(selection) if selection.kept_steps else {}
    return Answer(question, selection, losses=losses, case=case)


def _case(view: ProfileView, question: Question, last: Answer | None) -> SelectionProblem:
    rule, parameter = question.rule_setting.rule, question.rule_setting.parameter
    if last is not None and last.case is not None and last.question.subject == question.subject:
        return last.case.asking(rule, parameter)
    profile = view.profile
    return SelectionProblem(
        candidates=candidates_of_scores(view.scores_by_type),
        rule=rule,
        parameter=parameter,
        steps=profile.conditions.calls if profile else 1,
        choose_steps=question.choose_steps,
        effects=_effects(view) if question.choose_steps else None,
    )


def _effects(view: ProfileView) -> EffectsByType | None:
    if why_no_steps(view):
        return None
    # Only now: it needs numpy and scipy, and most selections keep no step.
    from pixart_tui.domain.selecting.step_effects import EffectsByType, StepEffects

    return EffectsByType(
        {
            found.quant_type: StepEffects.of(
                found.profile.effects,
                found.quant_type,
                [layer.fqn for layer in found.profile.layers],
            )
            for found in view.figures
        }
    )
