"""The tab where layers are chosen."""

from __future__ import annotations

import asyncio
from typing import ClassVar, Literal, TypeAlias

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.domain.selecting.pareto import Curve
from pixart_tui.domain.selection import Selection
from pixart_tui.tui import glyphs
from pixart_tui.tui.board import Board, ProfileView, RunView
from pixart_tui.tui.lines import Ink, Line, Span, line, wrap_path
from pixart_tui.tui.requests import selection_path
from pixart_tui.tui.select_tab.dial import Dial
from pixart_tui.tui.select_tab.lines import body_lines, head_lines, is_timed
from pixart_tui.tui.select_tab.solving import Answer, curve_of, measured_of, question_of, solve
from pixart_tui.tui.select_tab.verified import curve_lines, verify_lines
from pixart_tui.tui.widgets.line_view import LineBlock, LineView
from pixart_tui.tui.widgets.pane import Pane
from pixart_tui.tui.widgets.scroll_body import ScrollBody

Purpose: TypeAlias = Literal["save", "bench", "verify"]


class SelectPane(Pane):
    """A rule, its parameter, and the layers it chooses."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "Less", key_display=glyphs.LEFT, id="less"),
        Binding("right", "turn(1)", "More", key_display=glyphs.RIGHT, id="more"),
        Binding("shift+left", "turn(-10)", "Much less", show=False, id="much_less"),
        Binding("shift+right", "turn(10)", "Much more", show=False, id="much_more"),
        Binding("t", "next_rule", "Rule", id="next_rule"),
        Binding("s", "save", "Save", id="save_selection"),
        Binding("b", "bench", "Bench it", id="bench_selection"),
        Binding("v", "verify", "Verify", id="verify_selection"),
        Binding("p", "curve", "Curve or layers", show=False, id="show_curve"),
    ]

    class Solved(Message):
        """The rule was applied.

        Attributes:
            answer: What came of it.
        """

        def __init__(self, answer: Answer) -> None:
            super().__init__()
            self.answer = answer

    class Chosen(Message):
        """The selection is to be saved, benchmarked or verified.

        Attributes:
            view: What was selected from.
            selection: The selection.
            purpose: What is to be done with it.
        """

        def __init__(self, view: ProfileView, selection: Selection, purpose: Purpose) -> None:
            super().__init__()
            self.view = view
            self.selection = selection
            self.purpose: Purpose = purpose

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.dial = Dial()
        self.answer: Answer | None = None
        self._note: tuple[str, Ink] = ("", "good")
        self._solving = False
        self._curve: tuple[tuple[str, tuple[int, int]], Curve] | None = None
        self._showing_curve = False
        self._solving_curve = False

    def compose(self) -> ComposeResult:
        """The dial and the layers."""
        yield LineBlock(id="select-head")
        yield ScrollBody(id="select-body")

    @property
    def body(self) -> LineView:
        """The layers."""
        return self.query_one(ScrollBody)

    @property
    def run(self) -> RunView | None:
        """The profile's run."""
        return self.board.profile.run if self.board and self.board.profile else None

    def draw(self, board: Board, width: int) -> None:
        """Draws the selection; solves it first if what it depends on has changed."""
        head, view = self.query_one(LineBlock), board.profile
        if view is None:
            head.show([])
            self.body.show([line(), line(Span(" No profile to select from yet.", "muted"))])
            return
        self._solve_if_needed(view)
        notes = [*verify_lines(board.verify, _output(view), width), *self._note_lines(width)]
        head.show(head_lines(view, self.dial, self.answer, notes, width))
        if self._showing_curve:
            self._draw_curve(view, width)
            return
        selection = self.answer.selection if self.answer else None
        if selection is not None and self._answers(view):
            self.body.show(body_lines(view, selection, width - 1))
        elif selection is None:
            self.body.show([])

    def _draw_curve(self, view: ProfileView, width: int) -> None:
        key = (view.run.id, measured_of(view))
        known = self._curve
        if known is not None and known[0] == key:
            self.body.show(curve_lines(known[1], width - 1))
            return
        self.body.show([line(Span(" solving", "muted"))])
        if not self._solving_curve:
            self._solving_curve = True
            self.run_worker(self._solve_curve(view, key), group="curve")

    async def _solve_curve(self, view: ProfileView, key: tuple[str, tuple[int, int]]) -> None:
        self._curve = (key, await asyncio.to_thread(curve_of, view))
        self._solving_curve = False
        self.redraw()

    def tell(self, note: str, ink: Ink = "good") -> None:
        """Says something that stays until the dial moves: where a file was written."""
        self._note = (note, ink)
        self.redraw()

    def _note_lines(self, width: int) -> list[Line]:
        text, ink = self._note
        chunks = wrap_path(text, width - 2) if text else []
        return [line(" ", Span(chunk, ink)) for chunk in chunks]

    def _answers(self, view: ProfileView) -> bool:
        """Whether the answer that is there is about this profile, whatever the dial was."""
        return self.answer is not None and self.answer.question.run_id == view.run.id

    def _solve_if_needed(self, view: ProfileView) -> None:
        known = self.answer.question if self.answer else None
        if self._solving or known == question_of(view, self.dial):
            return
        self._solving = True
        self.run_worker(self._solve(view, self.dial), group="solve")

    async def _solve(self, view: ProfileView, dial: Dial) -> None:
        self.post_message(self.Solved(await asyncio.to_thread(solve, view, dial)))

    def on_select_pane_solved(self, message: Solved) -> None:
        """Shows the outcome; if the dial moved meanwhile, drawing solves again."""
        self._solving = False
        self.answer = message.answer
        self.redraw()

    def action_turn(self, steps: int) -> None:
        """Moves the rule's parameter."""
        self._turn_to(self.dial.moved(steps))

    def action_next_rule(self) -> None:
        """Takes the next rule."""
        view = self.board.profile if self.board else None
        self._turn_to(self.dial.next_rule(timed=view is not None and is_timed(view)))

    def _turn_to(self, dial: Dial) -> None:
        self.dial = dial
        self._note = ("", "good")
        self.redraw()

    def action_save(self) -> None:
        """Saves the selection beside the profile."""
        self._choose("save")

    def action_bench(self) -> None:
        """Saves the selection and benchmarks it."""
        self._choose("bench")

    def action_verify(self) -> None:
        """Measures all selected layers at once, and repairs the selection."""
        self._choose("verify")

    def action_curve(self) -> None:
        """Shows the whole curve, or the layers again."""
        self._showing_curve = not self._showing_curve
        self.redraw()

    def _choose(self, purpose: Purpose) -> None:
        view = self.board.profile if self.board else None
        if view is None or self.answer is None or self.answer.selection is None:
            return
        if self.answer.question != question_of(view, self.dial):
            return  # still solving: what would be saved is not what the dial says
        self.post_message(self.Chosen(view, self.answer.selection, purpose))


def _output(view: ProfileView) -> str:
    """Where the profile's selection is saved."""
    request = view.run.request
    return str(selection_path(request)) if isinstance(request, ProfileRequest) else ""
