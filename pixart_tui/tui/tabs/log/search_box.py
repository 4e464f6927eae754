"""The line at the bottom of the Log tab where the text to search for is typed."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class SearchBox(Input):
    """Is there only while something is typed into it."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "give_up", "No search", show=True)]
    DEFAULT_CSS = """
    SearchBox { display: none; }
    SearchBox.-asking { display: block; }
    """

    class Left(Message):
        """Nothing is to be searched."""

    def __init__(self) -> None:
        super().__init__(placeholder="search the log: text, then enter", compact=True)
        self.cursor_blink = False

    def ask(self, query: str) -> None:
        """Comes into sight."""
        self.add_class("-asking")
        self.value = query
        self.action_select_all()
        self.screen.set_focus(self)  # at once, as the text may be on its way

    def leave(self) -> None:
        """Goes out of sight."""
        self.remove_class("-asking")

    def action_give_up(self) -> None:
        """Goes without a search."""
        self.leave()
        self.post_message(self.Left())
