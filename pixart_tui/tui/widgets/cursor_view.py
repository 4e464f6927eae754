"""A line view with a cursor that the arrow keys move."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual import events
from textual.binding import Binding, BindingType
from textual.message import Message

from pixart_tui.tui.drawing.lines import Line
from pixart_tui.tui.widgets.line_view import LineView


class CursorView(LineView, can_focus=True, inherit_bindings=False):
    """Lines of which one is chosen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", "Up", show=False, id="up"),
        Binding("down", "move(1)", "Down", show=False, id="down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="page_up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="page_down"),
        Binding("home", "move(-1000000)", "First", show=False, id="first"),
        Binding("end", "move(1000000)", "Last", show=False, id="last"),
    ]

    class Moved(Message):
        """The cursor stands elsewhere."""

    class Opened(Message):
        """The line under the cursor was clicked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0

    def show(self, lines: Sequence[Line]) -> None:
        """Replaces the lines; the cursor stays on its line number."""
        super().show(lines)
        self.move_to(self.cursor)

    def marks(self, index: int) -> bool:
        """Whether the line at this index is the one under the cursor."""
        return index == self.cursor and index < len(self._lines)

    def move_to(self, index: int) -> None:
        """Puts the cursor on a line, the nearest one there is, and scrolls to it."""
        old, self.cursor = self.cursor, max(0, min(index, len(self._lines) - 1))
        if self.cursor != old:
            self.refresh_line(old)
            self.refresh_line(self.cursor)
            self.post_message(self.Moved())
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if not top <= self.cursor < top + height:
            self.scroll_to(y=self.cursor if self.cursor < top else self.cursor - height + 1)

    def action_move(self, steps: int) -> None:
        """Moves the cursor by lines."""
        self.move_to(self.cursor + steps)

    def action_page(self, pages: int) -> None:
        """Moves the cursor by screenfuls."""
        self.move_to(self.cursor + pages * max(self.size.height - 1, 1))

    def on_click(self, event: events.Click) -> None:
        """Chooses the line that was clicked; opens it if it was chosen already."""
        index = self.scroll_offset.y + event.y
        if index >= len(self._lines):
            return
        if index == self.cursor:
            self.post_message(self.Opened())
        self.move_to(index)
