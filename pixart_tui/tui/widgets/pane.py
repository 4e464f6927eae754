"""What the tabs have in common."""

from __future__ import annotations

from textual.containers import Vertical

from pixart_tui.tui.state.board import Board, RunView
from pixart_tui.tui.widgets.line_view import LineView


class Pane(Vertical):
    """A tab's content: it is given a board and draws itself from it."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self.board: Board | None = None

    def show_board(self, board: Board) -> None:
        """Takes in what is known by now."""
        self.board = board
        self.redraw()

    def redraw(self) -> None:
        """Draws what is known in the size there is; nothing while it is hidden."""
        if self.board is not None and self.size.width:
            self.draw(self.board, self.size.width)

    def draw(self, board: Board, width: int) -> None:
        """Draws the board."""
        raise NotImplementedError

    def on_resize(self) -> None:
        """Lays out anew."""
        self.redraw()

    @property
    def run(self) -> RunView | None:
        """The run that resuming and cancelling mean on this tab."""
        raise NotImplementedError

    @property
    def body(self) -> LineView:
        """The part that scrolls and has the focus."""
        raise NotImplementedError
