"""What each ink looks like in the theme.

Textual works out a widget's component classes one by one for every widget that has some. All views
of lines would have the same twenty: the screen at the bottom has them, once.
"""

from __future__ import annotations

from typing import ClassVar, Final, get_args

from rich.style import Style
from textual.app import App
from textual.screen import Screen

from pixart_tui.tui.drawing.lines import Ink

_CURSOR: Final = "ink-cursor-line"
_WITH_PAPER: Final[tuple[Ink, ...]] = ("active", "cursor")


class InkScreen(Screen[None]):
    """The bottom screen, which knows the inks."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {_CURSOR, *(f"ink--{ink}" for ink in get_args(Ink))}
    DEFAULT_CSS = """
    InkScreen {
        & .ink--text { color: $foreground; }
        & .ink--muted { color: $foreground 55%; }
        & .ink--title { color: $foreground; text-style: bold; }
        & .ink--head { color: $foreground 70%; text-style: bold; }
        & .ink--live { color: $primary; }
        & .ink--good { color: $success; }
        & .ink--warn { color: $warning; }
        & .ink--bad { color: $error; }
        & .ink--track { color: $foreground 25%; }
        & .ink--floor { color: $accent; }
        & .ink--heat1 { color: $primary; }
        & .ink--heat2 { color: $primary 75%; }
        & .ink--heat3 { color: $primary 50%; }
        & .ink--heat4 { color: $foreground 70%; }
        & .ink--heat5 { color: $warning 80%; }
        & .ink--heat6 { color: $warning; }
        & .ink--heat7 { color: $error; text-style: bold; }
        & .ink--active { color: $background; background: $primary; text-style: bold; }
        & .ink--cursor { color: $foreground; background: $primary 50%; text-style: bold; }
        & .ink-cursor-line { background: $primary 25%; }
        &:ansi {
            & .ink--muted, & .ink--track { text-style: dim; }
            & .ink--active { color: ansi_default; background: ansi_default; }
            & .ink--active { text-style: bold reverse; }
            & .ink-cursor-line { background: ansi_default; text-style: reverse; }
        }
    }
    """


def ink_style(app: App[object], ink: Ink, paper: Style) -> Style:
    """The colours of an ink by now.

    Args:
        app: The app, for its theme.
        ink: The ink.
        paper: The colour that the view has behind its texts, as some inks have their own.
    """
    style = app.screen_stack[0].get_component_rich_style(f"ink--{ink}")
    return style if ink in _WITH_PAPER else style + paper


def behind_cursor(app: App[object]) -> Style:
    """What the line under the cursor has behind its texts."""
    cursor = app.screen_stack[0].get_component_rich_style(_CURSOR)
    return Style(bgcolor=cursor.bgcolor, reverse=cursor.reverse or None)
