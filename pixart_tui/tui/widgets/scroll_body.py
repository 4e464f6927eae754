"""The scrolling part of a tab without a cursor."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from pixart_tui.tui.widgets.line_view import LineView


class ScrollBody(LineView, can_focus=True, inherit_bindings=False):
    """Lines that the arrow keys, page keys, home and end scroll; left and right stay free."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "Up", show=False, id="up"),
        Binding("down", "scroll_down", "Down", show=False, id="down"),
        Binding("pageup", "page_up", "Page up", show=False, id="page_up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="page_down"),
        Binding("home", "scroll_home", "First", show=False, id="first"),
        Binding("end", "scroll_end", "Last", show=False, id="last"),
    ]

    DEFAULT_CSS = """
    ScrollBody { height: 1fr; scrollbar-gutter: stable; }
    """
