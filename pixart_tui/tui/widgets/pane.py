"""The base of all tabs."""

from __future__ import annotations

from textual.containers import Vertical

from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.widgets.line_view import LineView


class Pane(Vertical):
    """A tab's content: it is given a overview and draws itself from it."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.overview: Overview | None = None

    def show_overview(self, overview: Overview) -> None:
        """Takes in what is known so far."""
        self.overview = overview
        self.redraw()

    def redraw(self) -> None:
        """Draws what is known in the size there is; nothing while it is hidden."""
        if self.overview is not None and self.size.width:
            self.draw(self.overview, self.size.width)

    def draw(self, overview: Overview, width: int) -> None:
        """Draws the overview."""
        raise NotImplementedError

    def on_resize(self) -> None:
        """Lays out anew."""
        self.redraw()

    @property
    def run(self) -> RunView | None:
        """The run that resuming and canceling mean on this tab."""
        raise NotImplementedError

    @property
    def body(self) -> LineView:
        """The part that scrolls and has the focus."""
        raise NotImplementedError
