"""A line to type a filter into; it filters as one types."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input


class FilterInput(Input):
    """Hidden until it is asked for; enter keeps what was typed, escape clears it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave(True)", "Clear"),
        Binding("enter,down", "leave(False)", "Keep", key_display="enter"),
    ]
    DEFAULT_CSS = """
    FilterInput { display: none; }
    """

    class Left(Message):
        """Typing is over."""

    def __init__(self, *, id: str, placeholder: str) -> None:
        super().__init__(id=id, placeholder=placeholder, compact=True, select_on_focus=False)
        # A cursor that blinks would send bytes all the time.
        self.cursor_blink = False

    def open(self) -> None:
        """Shows it, with what was typed before."""
        self.display = True
        self.screen.set_focus(self)  # at once, as the text may be on its way

    def action_leave(self, clear: bool) -> None:
        """Hides it."""
        if clear:
            self.value = ""
        self.display = False
        self.post_message(self.Left())

    def on_blur(self) -> None:
        """Hides it when a click or another tab takes the focus away."""
        self.display = False
