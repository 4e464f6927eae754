"""The tab with one profile."""

from __future__ import annotations

from textual.app import ComposeResult

from pixart_tui.tui.board import Board, RunView
from pixart_tui.tui.lines import Span, line
from pixart_tui.tui.profile_tab.lines import body_lines, head_lines
from pixart_tui.tui.widgets.line_view import LineBlock, LineView
from pixart_tui.tui.widgets.pane import Pane
from pixart_tui.tui.widgets.scroll_body import ScrollBody


class ProfilePane(Pane):
    """One profile, live or finished."""

    def compose(self) -> ComposeResult:
        """The head and the ranked layers."""
        yield LineBlock(id="profile-head")
        yield ScrollBody(id="profile-body")

    @property
    def body(self) -> LineView:
        """The ranked layers."""
        return self.query_one(ScrollBody)

    @property
    def run(self) -> RunView | None:
        """The profile's run."""
        return self.board.profile.run if self.board and self.board.profile else None

    def draw(self, board: Board, width: int) -> None:
        """Draws the profile that is open."""
        head = self.query_one(LineBlock)
        if board.profile is None:
            head.show([])
            self.body.show([line(), line(Span(" No profile is open: n starts one.", "muted"))])
            return
        head.show(head_lines(board.profile, width))
        self.body.show(body_lines(board.profile, width - 1))
