"""The keys of the tab that is shown, what its columns mean, and the marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen

from pixart_tui.tui.dialogs.help_texts import KEYS, STATES, TEXTS
from pixart_tui.tui.drawing.lines import Line, Span, fit, line
from pixart_tui.tui.widgets.scroll_body import ScrollBody
from pixart_tui.tui.widgets.tab_strip import TABS

_KEY: Final = 19
_MOVES: Final = ("up", "down", "page_up", "page_down", "first", "last")
_SAID: Final = {*_MOVES, "next_tab", "previous_tab", *(f"show_{tab}" for tab, _ in TABS)}


def help_lines(app: App[None], tab: str) -> list[Line]:
    """Builds the help of a tab, with the current keys."""
    title = dict(TABS)[tab]
    here, everywhere = _keys(app)
    return [
        *_section(f"Keys on {title}", here),
        *_section("Keys on every tab", everywhere),
        *_section(f"What {title} shows", [line(text) for text in TEXTS.get(tab, "").splitlines()]),
        *_section("States of a run", [line(text) for text in STATES.splitlines()]),
        line(Span("Keys of your own: docs/dashboard.md", "muted")),
    ]


def _section(title: str, lines: Sequence[Line]) -> list[Line]:
    return [line(Span(title, "title")), *lines, line()] if lines else []


def _keys(app: App[None]) -> tuple[list[Line], list[Line]]:
    """Lines for the keys of the tab, and for those that every tab has."""
    keys: dict[str, list[str]] = {}
    everywhere: dict[str, bool] = {}
    for active in app.active_bindings.values():
        binding = active.binding
        if binding.id is not None and active.enabled and binding.id not in _SAID:
            text = KEYS.get(binding.id, binding.description)
            keys.setdefault(text, []).append(app.get_key_display(binding))
            everywhere[text] = active.node is app
    lines = {text: _key_line(", ".join(shown), text) for text, shown in keys.items()}
    here = [lines[text] for text in lines if not everywhere[text]]
    return here, [*(lines[text] for text in lines if everywhere[text]), *_common(app)]


def _common(app: App[None]) -> list[Line]:
    """The line of the keys that every tab has."""
    shown = {
        active.binding.id: app.get_key_display(active.binding)
        for active in app.active_bindings.values()
    }
    tabs = " ".join(shown.get(f"show_{tab}", "") for tab, _ in TABS)
    moves = " ".join(shown.get(name, "") for name in _MOVES[:4])
    return [
        _key_line(tabs, ", ".join(title for _, title in TABS)),
        _key_line(f"{shown.get('next_tab')} {shown.get('previous_tab')}", "the tabs in turn"),
        _key_line(moves, f"move or scroll; {shown.get('first')} and {shown.get('last')}: the ends"),
    ]


def _key_line(keys: str, text: str) -> Line:
    return line(Span(f" {fit(keys, _KEY)} ", "live"), text)


class HelpScreen(ModalScreen[None]):
    """The screen of a tab's keys and marks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,enter", "dismiss", "Close")
    ]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; background: $background 60%; }
    HelpScreen ScrollBody {
        width: 80; height: auto; max-height: 100%; padding: 0 1;
        background: $surface; border: round $primary;
    }
    """

    def __init__(self, lines: Sequence[Line]) -> None:
        super().__init__()
        self._lines = lines

    def compose(self) -> ComposeResult:
        """The text."""
        body = ScrollBody()
        body.border_title = "Help"
        body.border_subtitle = "esc closes"
        body.show(self._lines)
        yield body
