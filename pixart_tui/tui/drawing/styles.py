"""Maps cell styles to the theme's colors.

Textual works out a widget's component classes one by one for every widget that has some. All views
of lines would have the same twenty: the screen at the bottom has them, once.
"""

from __future__ import annotations

from typing import ClassVar, Final, get_args

from rich.style import Style
from textual.app import App
from textual.screen import Screen

from pixart_tui.tui.drawing.lines import CellStyle

_CURSOR: Final = "cell_style-cursor-line"
_WITH_PAPER: Final[tuple[CellStyle, ...]] = ("active", "cursor")


class StyledScreen(Screen[None]):
    """The bottom screen, which knows the styles."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        _CURSOR,
        *(f"cell_style--{cell_style}" for cell_style in get_args(CellStyle)),
    }
    DEFAULT_CSS = """
    StyledScreen {
        & .cell_style--text { color: $foreground; }
        & .cell_style--muted { color: $foreground 55%; }
        & .cell_style--title { color: $foreground; text-style: bold; }
        & .cell_style--head { color: $foreground 70%; text-style: bold; }
        & .cell_style--live { color: $primary; }
        & .cell_style--good { color: $success; }
        & .cell_style--warn { color: $warning; }
        & .cell_style--bad { color: $error; }
        & .cell_style--track { color: $foreground 25%; }
        & .cell_style--floor { color: $accent; }
        & .cell_style--heat1 { color: $primary; }
        & .cell_style--heat2 { color: $primary 75%; }
        & .cell_style--heat3 { color: $primary 50%; }
        & .cell_style--heat4 { color: $foreground 70%; }
        & .cell_style--heat5 { color: $warning 80%; }
        & .cell_style--heat6 { color: $warning; }
        & .cell_style--heat7 { color: $error; text-style: bold; }
        & .cell_style--active { color: $background; background: $primary; text-style: bold; }
        & .cell_style--cursor { color: $foreground; background: $primary 50%; text-style: bold; }
        & .cell_style-cursor-line { background: $primary 25%; }
        &:ansi {
            & .cell_style--muted, & .cell_style--track { text-style: dim; }
            & .cell_style--active { color: ansi_default; background: ansi_default; }
            & .cell_style--active { text-style: bold reverse; }
            & .cell_style-cursor-line { background: ansi_default; text-style: reverse; }
        }
    }
    """


def rich_style(app: App[object], cell_style: CellStyle, paper: Style) -> Style:
    """Returns the current colors of a style.

    Args:
        app: The app, for its theme.
        cell_style: The cell_style.
        paper: The color that the view has behind its texts, as some styles have their own.
    """
    style = app.screen_stack[0].get_component_rich_style(f"cell_style--{cell_style}")
    return style if cell_style in _WITH_PAPER else style + paper


def behind_cursor(app: App[object]) -> Style:
    """Returns the background of the line under the cursor."""
    cursor = app.screen_stack[0].get_component_rich_style(_CURSOR)
    return Style(bgcolor=cursor.bgcolor, reverse=cursor.reverse or None)
