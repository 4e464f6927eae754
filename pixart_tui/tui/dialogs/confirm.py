"""A question with yes and no."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from pixart_tui.tui.drawing.lines import printable


class ConfirmScreen(ModalScreen[bool]):
    """Asks before something that cannot be taken back for free."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "dismiss(True)", "Yes"),
        Binding("n,escape,q", "dismiss(False)", "No"),
    ]
    DEFAULT_CSS = """
    ConfirmScreen { align: center middle; background: $background 60%; }
    ConfirmScreen Vertical {
        width: 68; height: auto; padding: 1 2;
        background: $surface; border: round $primary;
    }
    ConfirmScreen .title { text-style: bold; }
    ConfirmScreen .keys { color: $primary; }
    """

    def __init__(self, title: str, lines: Sequence[str], yes: str, no: str) -> None:
        super().__init__()
        self._title_text = printable(title)
        self._text_lines = [printable(text) for text in lines]
        self._keys_text = f"y  {yes}      n  {no}"

    def compose(self) -> ComposeResult:
        """The question, what it means, and the keys."""
        with Vertical():
            yield Static(self._title_text, classes="title", markup=False)
            yield Static("\n" + "\n".join(self._text_lines) + "\n", markup=False)
            yield Static(self._keys_text, classes="keys", markup=False)
