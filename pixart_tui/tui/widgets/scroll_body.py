"""The scrolling part of a tab without a cursor."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from pixart_tui.tui.widgets.line_view import LineView


class ScrollBody(LineView, can_focus=True, inherit_bindings=False):
    """Lines that the arrow keys, page keys, home and end scroll; left and right stay free."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "scroll_up", "Up", show=False),
        Binding("down", "scroll_down", "Down", show=False),
        Binding("pageup", "page_up", "Page up", show=False),
        Binding("pagedown", "page_down", "Page down", show=False),
        Binding("home", "scroll_home", "First", show=False),
        Binding("end", "scroll_end", "Last", show=False),
    ]

    DEFAULT_CSS = """
    ScrollBody { height: 1fr; scrollbar-gutter: stable; }
    """
