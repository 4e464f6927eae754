"""The tab with one benchmark."""

from __future__ import annotations

from textual.app import ComposeResult

from pixart_tui.tui.drawing.lines import Span, line
from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.tabs.bench.lines import body_lines, head_lines
from pixart_tui.tui.widgets.line_view import LineBlock, LineView
from pixart_tui.tui.widgets.pane import Pane
from pixart_tui.tui.widgets.scroll_body import ScrollBody


class BenchPane(Pane):
    """One benchmark, live or finished."""

    def compose(self) -> ComposeResult:
        """The head and the table."""
        yield LineBlock(id="bench-head")
        yield ScrollBody(id="bench-body")

    @property
    def body(self) -> LineView:
        """The table."""
        return self.query_one(ScrollBody)

    @property
    def run(self) -> RunView | None:
        """The benchmark's run."""
        return self.overview.bench.run if self.overview and self.overview.bench else None

    def draw(self, overview: Overview, width: int) -> None:
        """Draws the benchmark that is open."""
        head = self.query_one(LineBlock)
        if overview.bench is None:
            head.show([])
            hint = " No benchmark is open: n starts one; or choose layers on tab 3, then b."
            self.body.show([line(), line(Span(hint, "muted"))])
            return
        head.show(head_lines(overview.bench, width))
        self.body.show(body_lines(overview.bench, width - 1))
