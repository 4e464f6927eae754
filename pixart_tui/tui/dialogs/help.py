"""The keys of the tab that is shown, what its columns mean, and the marks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import App, ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.screen import ModalScreen

from pixart_tui.tui.dialogs.help_texts import STATES, TEXTS
from pixart_tui.tui.lines import Line, Span, fit, line
from pixart_tui.tui.widgets.scroll_body import ScrollBody
from pixart_tui.tui.widgets.tab_strip import TABS

_KEY: Final = 20


def help_lines(app: App[None], tab: str) -> list[Line]:
    """The help for a tab, with the keys as they are mapped by now."""
    title = dict(TABS)[tab]
    here, everywhere = _keys(app)
    return [
        *_section(f"Keys on {title}", here),
        *_section("Keys on every tab", everywhere),
        *_section(f"What {title} shows", [line(text) for text in TEXTS.get(tab, "").splitlines()]),
        *_section("States of a run", [line(text) for text in STATES.splitlines()]),
        line(Span("Other keys: [keys] in the configuration file; see docs/dashboard.md", "muted")),
    ]


def _section(title: str, lines: Sequence[Line]) -> list[Line]:
    return [line(Span(title, "title")), *lines, line()] if lines else []


def _keys(app: App[None]) -> tuple[list[Line], list[Line]]:
    """Lines for the keys of the tab, and for those of the app."""
    by_action: dict[tuple[str, str], list[ActiveBinding]] = {}
    for active in app.active_bindings.values():
        if active.binding.description:
            by_action.setdefault((active.binding.action, active.binding.description), []).append(
                active
            )
    here: list[Line] = []
    everywhere: list[Line] = []
    for (_, description), bindings in by_action.items():
        keys = ", ".join(app.get_key_display(active.binding) for active in bindings)
        shown = line(Span(f" {fit(keys, _KEY)}", "live"), description)
        (everywhere if bindings[0].node is app else here).append(shown)
    return here, everywhere


class HelpScreen(ModalScreen[None]):
    """What each key does and each mark means."""

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
