"""A selection, or why there is none, as one value that a thread can hand over."""

from __future__ import annotations

from dataclasses import dataclass

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.domain.profile import Profile
from pixart_tui.domain.selection import Selection, select
from pixart_tui.tui.board import ProfileView
from pixart_tui.tui.select_tab.dial import Dial


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be solved; equal questions have equal answers.

    Attributes:
        run_id: The profile's run.
        measured: Layers that are measured so far, and images: with the fast method images still
            come, and change the figures, when every layer is probed.
        dial: The rule and its parameter.
    """

    run_id: str
    measured: tuple[int, int]
    dial: Dial


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a question.

    Attributes:
        question: The question.
        profile: What was selected from.
        selection: The selection, None if there is none.
        problem: Why there is none.
    """

    question: Question
    profile: Profile | None = None
    selection: Selection | None = None
    problem: str = ""


def question_of(view: ProfileView, dial: Dial) -> Question:
    """The question that a profile and a dial ask."""
    return Question(view.run.id, measured_of(view), dial)


def measured_of(view: ProfileView) -> tuple[int, int]:
    """What a profile's figures depend on: see ``Question``."""
    return (view.run.done, len(view.profile.measurements) if view.profile else 0)


def solve(view: ProfileView, dial: Dial) -> Answer:
    """Applies the rule; takes a few hundredths of a second."""
    question, profile = question_of(view, dial), view.profile
    if profile is None:
        return Answer(question, problem="the profile has not begun to measure")
    try:
        quant_type = profile.conditions.quant_type
        selection = select(view.scores, quant_type, dial.rule, dial.parameter)
    except PixartTuiError as error:
        problem = ": ".join(filter(None, (error.title, error.cause)))
        return Answer(question, profile, problem=problem)
    return Answer(question, profile, selection)
