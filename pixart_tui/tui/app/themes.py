"""Two calm themes, one dark and one light."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme as Colors

from pixart_tui.tui.app.settings import Theme

DARK: Final = Colors(
    name="pixart-dark",
    primary="#7fb2d9",
    secondary="#9aa7b8",
    accent="#c9a2d8",
    success="#8fc28a",
    warning="#dfb86c",
    error="#e08585",
    foreground="#d8dde5",
    background="#14171c",
    surface="#1b1f26",
    panel="#222730",
    dark=True,
    variables={"footer-background": "#1b1f26", "footer-key-foreground": "#7fb2d9"},
)
LIGHT: Final = Colors(
    name="pixart-light",
    primary="#2b6a99",
    secondary="#5d6b7c",
    accent="#7a4a92",
    success="#35743a",
    warning="#8d6410",
    error="#a83838",
    foreground="#262b33",
    background="#fbfaf7",
    surface="#f0eee9",
    panel="#e6e3dc",
    dark=False,
    variables={"footer-background": "#eceae4", "footer-key-foreground": "#2b6a99"},
)
NAMES: Final[dict[Theme, str]] = {
    "dark": DARK.name,
    "light": LIGHT.name,
    "ansi-dark": "ansi-dark",
    "ansi-light": "ansi-light",
}
"""Textual's name of each theme that the configuration knows."""

OTHER: Final = {
    DARK.name: LIGHT.name,
    LIGHT.name: DARK.name,
    "ansi-dark": "ansi-light",
    "ansi-light": "ansi-dark",
}
"""The light one of a dark theme, and the other way round."""

OF_16_COLORS: Final[dict[Theme, Theme]] = {
    "dark": "ansi-dark",
    "light": "ansi-light",
    "ansi-dark": "ansi-dark",
    "ansi-light": "ansi-light",
}
"""Themes for terminals with 16 colors."""
