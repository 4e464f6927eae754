"""The tab with one profile."""

from __future__ import annotations

import time
from functools import partial
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Input

from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.tui.drawing.layer_grid import LayerGrid
from pixart_tui.tui.drawing.lines import Line, Span, fit, line
from pixart_tui.tui.drawing.map_lines import map_layout
from pixart_tui.tui.state.overview import Overview, ProfileView, RunView
from pixart_tui.tui.tabs.profile.details import cursor_line
from pixart_tui.tui.tabs.profile.facts import Facts
from pixart_tui.tui.tabs.profile.head import head_lines
from pixart_tui.tui.tabs.profile.heat_map import below_lines, marks
from pixart_tui.tui.tabs.profile.layer_details import LayerDetails
from pixart_tui.tui.tabs.profile.order import Filter, Sort, ordered
from pixart_tui.tui.tabs.profile.steps import strip_lines
from pixart_tui.tui.tabs.profile.table import Columns, columns_line, layer_line
from pixart_tui.tui.terminal.pictures import HALF_CELLS, Pictures
from pixart_tui.tui.widgets.cursor_view import CursorView
from pixart_tui.tui.widgets.filter_input import FilterInput
from pixart_tui.tui.widgets.lazy_lines import LazyLines
from pixart_tui.tui.widgets.line_view import LineBlock, LineView
from pixart_tui.tui.widgets.map_view import MapView
from pixart_tui.tui.widgets.pane import Pane

_BRIEF_HEAD: Final = 2
"""Lines of the head that stay over a layer's details: the state and the progress."""
_TABLE_PAUSE_S: Final = 5.0


class ProfilePane(Pane):
    """One profile, live or finished: a map of its layers, a table of them, and one in detail.

    Args:
        pictures: How pictures are shown here.
        id: The pane's id.
    """

    DEFAULT_CSS = """
    ProfilePane #profile-body { height: 1fr; scrollbar-gutter: stable; }
    ProfilePane #profile-detail { display: none; }
    ProfilePane.-detail #profile-main { display: none; }
    ProfilePane.-detail #profile-detail { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "details", "Details", id="layer_details"),
        Binding("slash", "filter", "Filter", key_display="/", id="filter_layers"),
        Binding("o", "sort", "Sort by the next column", show=False, id="sort_layers"),
        Binding("y", "next_type", "Type", id="next_quant_type"),
        Binding("m", "map", "Map and table, or the table", show=False, id="show_map"),
        Binding("space", "next_picture", "In detail: the next picture", show=False, id="next_face"),
        Binding("i", "make_pictures", "Make the layer's pictures", show=False, id="make_pictures"),
        Binding("escape", "back", "Back", id="back"),
        Binding("left", "step(0, -1)", "Same layer, block before", show=False, id="block_before"),
        Binding("right", "step(0, 1)", "Same layer, next block", show=False, id="block_after"),
        Binding(
            "shift+up,left_square_bracket",
            "step(-1, 0)",
            "Same block, layer above",
            show=False,
            id="layer_above",
        ),
        Binding(
            "shift+down,right_square_bracket",
            "step(1, 0)",
            "Same block, layer below",
            show=False,
            id="layer_below",
        ),
    ]

    class PicturesWanted(Message):
        """Pictures of the layer under the cursor are to be made.

        Attributes:
            view: The profile.
            fqn: The layer.
        """

        def __init__(self, view: ProfileView, fqn: str) -> None:
            super().__init__()
            self.view = view
            self.fqn = fqn

    def __init__(self, pictures: Pictures = HALF_CELLS, *, id: str) -> None:
        super().__init__(id=id)
        self._pictures = pictures
        self.sort = Sort.RANK
        self.filter = Filter()
        self.quant_type: str | None = None
        self._offered_types = False
        self.fqn: str | None = None
        self._with_map = True
        self._names: list[str] = []
        self._table_key: tuple[object, ...] = ()
        self._table_drawn_s = 0.0

    def compose(self) -> ComposeResult:
        """The head; the map and the table, or one layer; the layer under the cursor."""
        yield LineBlock(id="profile-head")
        with Horizontal(id="profile-main"):
            yield MapView(id="profile-map")
            with Vertical():
                yield LineBlock(id="profile-columns")
                yield CursorView(id="profile-body")
        yield LayerDetails(self._pictures, id="profile-detail")
        yield LineBlock(id="profile-foot")
        yield FilterInput(
            id="profile-filter", placeholder="part of a name   *.to_q   block:3-5   type:attn1"
        )

    @property
    def body(self) -> LineView:
        """Returns the widget that scrolls: the table, or the layer in detail."""
        return self.query_one(LayerDetails).figures if self.has_class("-detail") else self.table

    @property
    def table(self) -> CursorView:
        """The table of layers."""
        return self.query_one("#profile-body", CursorView)

    @property
    def run(self) -> RunView | None:
        """The profile's run."""
        return self._view.run if self._view else None

    @property
    def _view(self) -> ProfileView | None:
        view = self.overview.profile if self.overview else None
        return view.showing(self.quant_type) if view is not None else None

    def draw(self, overview: Overview, width: int) -> None:
        """Draws the profile that is open."""
        view = self._view
        self._offer_type(view)
        if view is None or not view.scores:
            self._block("head").show(head_lines(view, width) if view is not None else [])
            self._draw_empty(view)
            return
        facts = Facts.of(view)
        anew = self._is_table_due(view, width)
        order = self.filter.kept(ordered(view.scores, self.sort)) if anew else None
        if order is not None:
            self._names = [score.layer.fqn for score in order]
        current = self._current(facts)
        if self.has_class("-detail") and current is not None:
            self._draw_details(facts, current, width)
        else:
            self._draw_all(facts, order, current, width)

    def _offer_type(self, view: ProfileView | None) -> None:
        """Tells the footer whether there are several quant types."""
        several = view is not None and len(view.figures) > 1
        if several != self._offered_types:
            self._offered_types = several
            self.refresh_bindings()

    def _is_table_due(self, view: ProfileView, width: int) -> bool:
        """Whether the table is drawn anew: each new rank moves all rows below it.

        While layers are measured it is drawn every few seconds, and at once if a key was pressed;
        the map and the head never wait.
        """
        shown = (self.has_class("-detail"), self._with_map, width)
        asked = (self.sort, self.filter, self.fqn, self.quant_type)
        key = (view.run.id, view.run.state, *asked, shown)
        now_s = time.monotonic()
        if key == self._table_key and now_s - self._table_drawn_s < _TABLE_PAUSE_S:
            return False
        self._table_key, self._table_drawn_s = key, now_s
        return True

    def _draw_details(self, facts: Facts, current: LayerScore, width: int) -> None:
        self._block("head").show(head_lines(facts.view, width)[:_BRIEF_HEAD])
        self._block("foot").show([])
        self.query_one(LayerDetails).show(current, facts, width)

    def _draw_all(
        self, facts: Facts, order: list[LayerScore] | None, current: LayerScore | None, width: int
    ) -> None:
        head = head_lines(facts.view, width)
        foot = [cursor_line(current, facts, width)] if current else []
        if facts.view.shown is not None:
            foot += strip_lines(facts.view.shown, current.layer.fqn if current else None, width)
        foot += self._filter_lines(len(facts.view.scores), width)
        self._block("head").show(head)
        self._block("foot").show(foot)
        left = self._draw_map(facts, current, width, self.size.height - len(head) - len(foot))
        if order is not None:
            self._draw_table(facts, order, width - left - 1)

    def _draw_empty(self, view: ProfileView | None) -> None:
        note = " No profile is open: n starts one." if view is None else ""
        self._names, self._table_key = [], ()
        self.query_one(MapView).display = False
        for name in ("columns", "foot"):
            self._block(name).show([])
        self.table.show([line(), line(Span(note, "muted"))])

    def _draw_map(self, facts: Facts, current: LayerScore | None, width: int, height: int) -> int:
        """Draws the map; returns how many cells wide it is."""
        view = self.query_one(MapView)
        view.display = self._with_map
        if not self._with_map:
            return 0
        grid = LayerGrid.of([score.layer for score in facts.view.scores])
        layout = map_layout(grid, width)
        view.styles.width = layout.width
        room = height - len(grid.rows) - 1
        view.show_map(
            grid,
            layout,
            partial(marks, facts, frozenset(self._names)),
            cursor=current.layer.fqn if current else None,
            below=below_lines(facts, current, layout, room),
        )
        return layout.width

    def _draw_table(self, facts: Facts, order: list[LayerScore], width: int) -> None:
        columns = Columns.of(facts, width, self.sort)
        self._block("columns").show([columns_line(columns, self.sort)])
        table = self.table
        table.show(LazyLines(len(order), lambda i: layer_line(order[i], facts, columns)))
        if self.fqn is not None:
            table.move_to(self._place)

    def _filter_lines(self, total: int, width: int) -> list[Line]:
        if self.filter.empty:
            return []
        text = f" /{self.filter.text}   {len(self._names)} of {total} layers   esc clears"
        return [line(Span(fit(text, width), "warn"))]

    def _block(self, name: str) -> LineBlock:
        return self.query_one(f"#profile-{name}", LineBlock)

    @property
    def _place(self) -> int:
        return self._names.index(self.fqn) if self.fqn in self._names else 0

    def _current(self, facts: Facts) -> LayerScore | None:
        """The layer under the cursor: the first until the cursor was moved."""
        if not self._names:
            return None
        place = self._place if self.fqn is not None else self.table.cursor
        return facts.by_fqn[self._names[min(place, len(self._names) - 1)]]

    def on_cursor_view_moved(self) -> None:
        """Keeps the map in step with the table."""
        if self.table.cursor < len(self._names):
            self._go_to(self._names[self.table.cursor])

    def on_cursor_view_opened(self) -> None:
        """Shows the layer that was clicked in detail."""
        self.action_details()

    def on_map_view_picked(self, message: MapView.Picked) -> None:
        """Moves to the layer that was clicked."""
        if message.fqn in self._names:
            self._go_to(message.fqn)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers the way back only where there is one, and details only where they are not."""
        in_detail = self.has_class("-detail")
        if action == "details":
            return not in_detail
        if action == "next_type":
            return self._offered_types
        if action == "back":
            return in_detail or not self.filter.empty
        return super().check_action(action, parameters)

    def action_step(self, rows: int, columns: int) -> None:
        """Moves over the map: to another block, or to another type of layer."""
        view = self._view
        if view is None or not self._names:
            return
        grid = LayerGrid.of([score.layer for score in view.scores])
        start = self.fqn if self.fqn in self._names else self._names[self.table.cursor]
        self._go_to(grid.moved(start, rows, columns, frozenset(self._names).__contains__))

    def _go_to(self, fqn: str) -> None:
        if fqn != self.fqn:
            self.fqn = fqn
            self.redraw()

    def action_sort(self) -> None:
        """Sorts by the next column."""
        view = self._view
        timed = view is not None and any(score.latency_s is not None for score in view.scores)
        self.sort = self.sort.next(timed=timed)
        self.redraw()

    def action_next_type(self) -> None:
        """Shows the next of the quant types that were measured together."""
        view = self._view
        if view is not None and view.figures:
            types = view.quant_types
            self.quant_type = types[(view.place + 1) % len(types)]
            self.redraw()

    def action_map(self) -> None:
        """Shows the map beside the table, or the table alone."""
        self._with_map = not self._with_map
        self.redraw()

    def action_filter(self) -> None:
        """Lets the user type a filter."""
        self._show_details(False)
        self.query_one(FilterInput).open()

    def on_input_changed(self, message: Input.Changed) -> None:
        """Filters as one types."""
        self.filter = Filter(message.value)
        self.refresh_bindings()
        self.redraw()

    def on_filter_input_left(self) -> None:
        """Goes back to the table."""
        self.body.focus()

    def action_details(self) -> None:
        """Shows all that is known of the layer under the cursor."""
        if self._names:
            self._show_details(True)

    def action_next_picture(self) -> None:
        """Shows the next picture of the layer in detail."""
        if self.has_class("-detail"):
            self.query_one(LayerDetails).turn()
            self.redraw()

    def on_pair_pictures_loaded(self) -> None:
        """Says by how much the difference is amplified."""
        self.redraw()

    def action_make_pictures(self) -> None:
        """Asks for the pictures of the layer under the cursor."""
        view = self._view
        current = self._current(Facts.of(view)) if view is not None and view.scores else None
        if view is not None and current is not None:
            self.post_message(self.PicturesWanted(view, current.layer.fqn))

    def action_back(self) -> None:
        """Goes back to the map and the table; from there it clears the filter."""
        if self.has_class("-detail"):
            self._show_details(False)
        else:
            self.query_one(FilterInput).value = ""

    def _show_details(self, shown: bool) -> None:
        if shown != self.has_class("-detail"):
            self.set_class(shown, "-detail")
            self.refresh_bindings()
            self.body.scroll_to(y=0, animate=False)
            self.body.focus()
            self.redraw()
