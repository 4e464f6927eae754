"""The tab with all runs."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message

from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.tabs.runs.lines import detail_lines, empty_lines, head_line, run_line
from pixart_tui.tui.widgets.cursor_view import CursorView
from pixart_tui.tui.widgets.line_view import LineBlock, LineView
from pixart_tui.tui.widgets.pane import Pane


class RunsPane(Pane):
    """All runs, newest first; Enter opens the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "open", "Open", id="open_run")]
    DEFAULT_CSS = """
    RunsPane CursorView { height: 1fr; scrollbar-gutter: stable; }
    """

    class Opened(Message):
        """A run was chosen.

        Attributes:
            run: The run.
        """

        def __init__(self, run: RunView) -> None:
            super().__init__()
            self.run = run

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._wanted_id = ""
        self._drawn_ids: list[str] = []

    def compose(self) -> ComposeResult:
        """The head, the list and the details."""
        yield LineBlock(id="runs-head")
        yield CursorView(id="runs-body")
        yield LineBlock(id="runs-detail")

    @property
    def body(self) -> LineView:
        """The list."""
        return self.query_one(CursorView)

    @property
    def run(self) -> RunView | None:
        """The run under the cursor."""
        runs = self.overview.runs if self.overview else ()
        cursor = self.query_one(CursorView).cursor
        return runs[cursor] if cursor < len(runs) else None

    def choose(self, run_id: str) -> None:
        """Puts the cursor on a run, as soon as it is listed."""
        self._wanted_id = run_id
        self.redraw()

    def draw(self, overview: Overview, width: int) -> None:
        """Draws the list with the cursor on the run it was on."""
        view = self.query_one(CursorView)
        ids = [run.id for run in overview.runs]
        chosen = self._chosen_id(ids, view.cursor)
        self.query_one("#runs-head", LineBlock).show(
            [head_line(width - 1)] if overview.runs else []
        )
        lines = [run_line(run, overview.now_s, width - 1) for run in overview.runs]
        view.show(lines or empty_lines(overview))
        if chosen in ids:
            view.move_to(ids.index(chosen))
        self._drawn_ids = ids
        self._draw_detail(width)

    def _chosen_id(self, ids: list[str], cursor: int) -> str:
        """The run that was asked for, or that under the cursor, which may have moved since."""
        if self._wanted_id in ids:
            wanted, self._wanted_id = self._wanted_id, ""
            return wanted
        return self._drawn_ids[cursor] if cursor < len(self._drawn_ids) else ""

    def _draw_detail(self, width: int) -> None:
        run = self.run
        block = self.query_one("#runs-detail", LineBlock)
        block.show(detail_lines(run, width) if run else [])

    def on_cursor_view_moved(self) -> None:
        """Shows the details of another run."""
        self.redraw()

    def on_cursor_view_opened(self) -> None:
        """Opens what was clicked twice."""
        self.action_open()

    def action_open(self) -> None:
        """Opens the run under the cursor."""
        run = self.run
        if run is not None:
            self.post_message(self.Opened(run))
