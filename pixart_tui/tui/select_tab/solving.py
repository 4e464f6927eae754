"""A selection, or why there is none, as one value that a thread can hand over."""

from __future__ import annotations

from dataclasses import dataclass

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.domain.selecting.menu import menu_of_scores
from pixart_tui.domain.selection import Selection, choose
from pixart_tui.tui.board import ProfileView
from pixart_tui.tui.select_tab.dial import Dial


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be solved; equal questions have equal answers.

    Attributes:
        run_id: The profile's run.
        quant_types: The quant types to choose from.
        measured: What is done so far, and what of it is scored.
        dial: The rule and its parameter.
    """

    run_id: str
    quant_types: tuple[str, ...]
    measured: tuple[int, int]
    dial: Dial


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question.

    Attributes:
        question: The question.
        selection: The selection, None if there is none.
        problem: Why there is none.
    """

    question: Question
    selection: Selection | None = None
    problem: str = ""


def question_of(view: ProfileView, dial: Dial) -> Question:
    """The question that a profile and a dial ask."""
    return Question(view.run.id, view.quant_types, measured_of(view), dial)


def measured_of(view: ProfileView) -> tuple[int, int]:
    """What a profile's figures depend on: see ``Question``."""
    profile = view.profile
    return (view.run.done, len(profile.measurements) + len(profile.effects) if profile else 0)


def solve(view: ProfileView, dial: Dial) -> Answer:
    """Applies the rule; takes a few hundredths of a second."""
    question = question_of(view, dial)
    if not view.figures:
        return Answer(question, problem="the profile has not begun to measure")
    try:
        selection = choose(menu_of_scores(view.scores_by_type), dial.rule, dial.parameter)
    except PixartTuiError as error:
        problem = ": ".join(filter(None, (error.title, error.cause)))
        return Answer(question, problem=problem)
    return Answer(question, selection)
