"""The scrolling part of the Log tab, which tells when an end comes into sight."""

from __future__ import annotations

from textual.message import Message

from pixart_tui.tui.widgets.scroll_body import ScrollBody


class LogBody(ScrollBody):
    """Lines that tell how they are scrolled."""

    class Scrolled(Message):
        """The lines were scrolled.

        Attributes:
            at_top: Whether the first line is in sight.
            at_bottom: Whether the last line is.
        """

        def __init__(self, at_top: bool, at_bottom: bool) -> None:
            super().__init__()
            self.at_top = at_top
            self.at_bottom = at_bottom

    class WholeAsked(Message):
        """The first line of all is to be seen, or the last.

        Attributes:
            first: Whether it is the first.
        """

        def __init__(self, first: bool) -> None:
            super().__init__()
            self.first = first

    def action_scroll_home(self) -> None:
        """Asks for the first line of all, which need not be read yet."""
        self.post_message(self.WholeAsked(first=True))

    def action_scroll_end(self) -> None:
        """Asks for the last line of all."""
        self.post_message(self.WholeAsked(first=False))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tells it."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            at_bottom = new_value >= self.max_scroll_y
            self.post_message(self.Scrolled(new_value <= 0, at_bottom))
