"""The tab where layers are chosen."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import ClassVar, Final, Literal, TypeAlias

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.layer_grid import LayerGrid
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, line, wrap_path
from pixart_tui.tui.drawing.map_lines import legend_lines, map_layout
from pixart_tui.tui.state.overview import Overview, ProfileView, RunView, VerifyView
from pixart_tui.tui.state.requests import selection_path
from pixart_tui.tui.tabs.select.assignments import assignment_mark, legend
from pixart_tui.tui.tabs.select.chart import chart_lines
from pixart_tui.tui.tabs.select.head import head_lines, is_timed, leaves_out_count
from pixart_tui.tui.tabs.select.layers import Columns, columns_line, layer_lines, scores_for
from pixart_tui.tui.tabs.select.plot import Plot, marked_of, plot_of
from pixart_tui.tui.tabs.select.rule_setting import RuleSetting, is_offered
from pixart_tui.tui.tabs.select.solving import (
    EXHAUSTIVE,
    Answer,
    Question,
    measured_of,
    question_of,
    solve,
    why_no_steps,
)
from pixart_tui.tui.widgets.line_view import LineBlock, LineView
from pixart_tui.tui.widgets.map_view import MapView
from pixart_tui.tui.widgets.pane import Pane
from pixart_tui.tui.widgets.scroll_body import ScrollBody

_BOTH_FROM: Final = 27
"""Lines from which on the curve and the layers both have room."""
_BOTH_WAYS: Final = f"{glyphs.LEFT} {glyphs.RIGHT}"
_CURVE_PAUSE_S: Final = 10.0
"""The whole curve takes a second to solve, and every new layer would ask for it."""

_PlotKey: TypeAlias = tuple[str, tuple[str, ...], tuple[int, int]]
"""Run, quant types, and what of them is measured."""

Purpose: TypeAlias = Literal["save", "bench", "verify"]


class SelectPane(Pane):
    """A rule, its parameter, and the layers it chooses."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left", "turn(-1)", "Turn", key_display=_BOTH_WAYS, id="less"),
        Binding("right", "turn(1)", "More", show=False, id="more"),
        Binding("shift+left", "turn(-10)", "Much less", show=False, id="much_less"),
        Binding("shift+right", "turn(10)", "Much more", show=False, id="much_more"),
        Binding("t", "next_rule", "Rule", id="next_rule"),
        Binding("y", "next_type", "Type", id="next_quant_type"),
        Binding("e", "choose_steps", "Steps", id="choose_steps"),
        Binding("s", "save", "Save", id="save_selection"),
        Binding("b", "bench", "Bench", id="bench_selection"),
        Binding("v", "verify", "Verify", id="verify_selection"),
        Binding("g", "curve", "Curve or layers", show=False, id="show_curve"),
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
        self.rule_setting = RuleSetting()
        self.answer: Answer | None = None
        self._note: tuple[str, CellStyle] = ("", "good")
        self._solving = False
        self._plot: Plot | None = None
        self.quant_type: str | None = None
        self.choosing_steps = False
        self._plot_key: _PlotKey = ("", (), (0, 0))
        self._plot_problem = ""
        self._plotted_s = 0.0
        self._solving_curve = False
        self._showing_layers = False
        self._offered_types = False

    def compose(self) -> ComposeResult:
        """The rule setting; the map; the curve and the layers, or one of them."""
        yield LineBlock(id="select-head")
        with Horizontal(id="select-main"):
            yield MapView(id="select-map")
            with Vertical():
                yield ScrollBody(id="select-curve")
                yield LineBlock(id="select-columns")
                yield ScrollBody(id="select-body")

    @property
    def body(self) -> LineView:
        """Returns the widget that scrolls: the layers, or the curve where both have no room."""
        layers = self.query_one("#select-body", LineView)
        return layers if layers.display else self.query_one("#select-curve", LineView)

    @property
    def run(self) -> RunView | None:
        """The profile's run."""
        return self._view.run if self._view else None

    @property
    def _view(self) -> ProfileView | None:
        """The profile, with the quant types that are chosen from."""
        view = self.overview.profile if self.overview else None
        return view.only(self.quant_type) if view is not None else None

    def draw(self, overview: Overview, width: int) -> None:
        """Draws the selection; solves it first if what it depends on has changed."""
        view = self._view
        if view is None:
            self._draw_empty()
            return
        self._offer_type()
        self._settle_rule(view)
        if view.scores or not view.run.done:  # else it is still being read
            self._solve_if_needed(view)
        verify = _verify_of(overview, view)
        steps = self.choosing_steps
        head = head_lines(view, self.rule_setting, self.answer, verify, width, choose_steps=steps)
        head += self._note_lines(width)
        self._block("head").show(head)
        selection = self.answer.selection if self.answer and self._answers(view) else None
        height = self.size.height - len(head)
        left = self._draw_map(view, selection, width, height)
        right = width - left - 1
        curve = self._divide(height)
        if curve:
            self._draw_curve(view, selection, verify, right, curve)
        self._draw_layers(view, selection, right)

    def _draw_empty(self) -> None:
        self._block("head").show([line(), line(Span(" No profile to select from yet.", "muted"))])
        self.query_one(MapView).display = False
        self.query_one("#select-curve").display = False
        self._block("columns").show([])
        self.query_one("#select-body", LineView).show([])

    def _offer_type(self) -> None:
        """Tells the footer whether there are several quant types."""
        several = self._several_types
        if several != self._offered_types:
            self._offered_types = several
            self.refresh_bindings()

    def _settle_rule(self, view: ProfileView) -> None:
        """Takes another rule where this one cannot say what is to be chosen."""
        if self.choosing_steps and view.figures and why_no_steps(view) == EXHAUSTIVE:
            self.choosing_steps = False  # another profile was opened
        mixed = leaves_out_count(view, self.choosing_steps)
        if not is_offered(self.rule_setting.rule, timed=True, mixed=mixed):
            self.rule_setting = self.rule_setting.next_rule(timed=is_timed(view), mixed=mixed)

    def _divide(self, height: int) -> int:
        """Shows the curve, the layers, or both in a high terminal; how high the curve is."""
        curve, layers = self.query_one("#select-curve"), self.query_one("#select-body")
        both = height >= _BOTH_FROM
        curve.display = both or not self._showing_layers
        layers.display = both or self._showing_layers
        rows = height // 2 if both else height
        if curve.display:
            curve.styles.height = rows
        if self.app.focused in (curve, layers) and self.app.focused is not self.body:
            self.body.focus()  # a focus that is set again draws everything again
        return rows if curve.display else 0

    def _draw_map(
        self, view: ProfileView, selection: Selection | None, width: int, height: int
    ) -> int:
        """Draws what is quantized with what; returns how many cells wide it is."""
        drawn = self.query_one(MapView)
        drawn.display = bool(view.scores)
        if not view.scores:
            return 0
        by_fqn = scores_for(view, selection)
        scores = by_fqn.values()
        grid = LayerGrid.of([score.layer for score in scores])
        layout = map_layout(grid, width)
        drawn.styles.width = layout.width
        below = legend_lines(legend(selection, scores), layout.width) if selection else []
        room = max(height - len(grid.rows) - 1, 0)
        drawn.show_map(
            grid,
            layout,
            lambda fqn: assignment_mark(by_fqn[fqn], selection),
            below=below[:room],
        )
        return layout.width

    def _draw_layers(self, view: ProfileView, selection: Selection | None, width: int) -> None:
        body = self.query_one("#select-body", LineView)
        if selection is None or not body.display:
            self._block("columns").show([])
            body.show([])
            return
        columns = Columns.of(view, width)
        self._block("columns").show([columns_line(columns)])
        losses = self.answer.losses if self.answer else None
        body.show(layer_lines(view, selection, columns, losses))

    def _draw_curve(
        self,
        view: ProfileView,
        selection: Selection | None,
        verify: VerifyView | None,
        width: int,
        height: int,
    ) -> None:
        curve = self.query_one("#select-curve", LineView)
        if not view.scores:
            curve.show([])
            return
        self._solve_curve_if_needed(view)
        if self._plot is None or self._plot_key[:2] != (view.run.id, view.quant_types):
            curve.show([line(Span(self._plot_problem or " solving", "muted"))])
            return
        marked = marked_of(self._plot, selection, verify)
        curve.show(chart_lines(self._plot, marked, width, height))

    def _solve_curve_if_needed(self, view: ProfileView) -> None:
        """While layers are measured, not more often than every few seconds."""
        key = (view.run.id, view.quant_types, measured_of(view))
        waited_s = time.monotonic() - self._plotted_s
        same_run = self._plot_key[:2] == key[:2]
        if self._solving_curve or key == self._plot_key:
            return
        if same_run and not view.run.state.is_finished and waited_s < _CURVE_PAUSE_S:
            return
        self._solving_curve = True
        self.run_worker(self._solve_curve(view, key), group="curve")

    async def _solve_curve(self, view: ProfileView, key: _PlotKey) -> None:
        try:
            self._plot, self._plot_problem = await asyncio.to_thread(plot_of, view), ""
        except PixartTuiError as error:
            self._plot, self._plot_problem = None, f" {error.title}"
        self._plot_key, self._plotted_s = key, time.monotonic()
        self._solving_curve = False
        self.redraw()

    def _block(self, name: str) -> LineBlock:
        return self.query_one(f"#select-{name}", LineBlock)

    def tell(self, note: str, cell_style: CellStyle = "good") -> None:
        """Says something that stays until the rule setting moves: where a file was written."""
        self._note = (note, cell_style)
        self.redraw()

    def _note_lines(self, width: int) -> list[Line]:
        text, cell_style = self._note
        chunks = wrap_path(text, width - 2) if text else []
        return [line(" ", Span(chunk, cell_style)) for chunk in chunks]

    def _answers(self, view: ProfileView) -> bool:
        """Whether the answer that is there is about this profile, whatever the rule setting was."""
        asked = self.answer.question if self.answer else None
        now = (view.run.id, view.quant_types)
        return asked is not None and (asked.run_id, asked.quant_types) == now

    def _solve_if_needed(self, view: ProfileView) -> None:
        known = self.answer.question if self.answer else None
        question = question_of(view, self.rule_setting, choose_steps=self.choosing_steps)
        if self._solving or known == question:
            return
        self._solving = True
        self.run_worker(self._solve(view, question), group="solve")

    async def _solve(self, view: ProfileView, question: Question) -> None:
        rule_setting, steps = question.rule_setting, question.choose_steps
        asked = partial(solve, view, rule_setting, choose_steps=steps, last=self.answer)
        self.post_message(self.Solved(await asyncio.to_thread(asked)))

    def on_select_pane_solved(self, message: Solved) -> None:
        """Shows the outcome; if the rule setting moved meanwhile, drawing solves again."""
        self._solving = False
        self.answer = message.answer
        self.redraw()

    def action_turn(self, steps: int) -> None:
        """Moves the rule's parameter."""
        self._turn_to(self.rule_setting.moved(steps))

    def action_next_rule(self) -> None:
        """Takes the next rule."""
        view = self._view
        timed = view is not None and is_timed(view)
        mixed = view is not None and leaves_out_count(view, self.choosing_steps)
        self._turn_to(self.rule_setting.next_rule(timed=timed, mixed=mixed))

    @property
    def _several_types(self) -> bool:
        view = self.overview.profile if self.overview else None
        return view is not None and len(view.figures) > 1

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers another quant type where there are several."""
        if action == "next_type":
            return self._several_types
        return super().check_action(action, parameters)

    def action_next_type(self) -> None:
        """Chooses from the next quant type alone, and after the last from all of them."""
        view = self.overview.profile if self.overview else None
        if view is None:
            return
        types = (None, *view.quant_types)
        place = types.index(self.quant_type) if self.quant_type in types else 0
        self.quant_type = types[(place + 1) % len(types)]
        self._turn_to(self.rule_setting)

    def action_choose_steps(self) -> None:
        """Chooses also the steps at which less is quantized, or no longer; says where it cannot."""
        view = self._view
        if view is None:
            return
        if not self.choosing_steps and (why := why_no_steps(view)):
            self.tell(f"! {why}", "warn")
            return
        self.choosing_steps = not self.choosing_steps
        self._turn_to(self.rule_setting)

    def _turn_to(self, rule_setting: RuleSetting) -> None:
        self.rule_setting = rule_setting
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
        """Shows the layers, or the curve again, where there is no room for both."""
        self._showing_layers = not self._showing_layers
        self.redraw()

    def _choose(self, purpose: Purpose) -> None:
        view = self._view
        if view is None or self.answer is None or self.answer.selection is None:
            return
        asked = question_of(view, self.rule_setting, choose_steps=self.choosing_steps)
        if self.answer.question != asked:
            return  # still solving: what would be saved is not what the rule_setting says
        self.post_message(self.Chosen(view, self.answer.selection, purpose))


def _verify_of(overview: Overview, view: ProfileView) -> VerifyView | None:
    """The verification of what is saved beside this profile."""
    request = view.run.request
    if not isinstance(request, ProfileRequest):
        return None
    path = str(selection_path(request, view.quant_types))
    return next((verify for verify in overview.verifications if verify.output == path), None)
