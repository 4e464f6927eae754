"""The one line on top: the tabs, and what the open runs are doing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Final

from textual import events
from textual.message import Message

from pixart_tui.tui.drawing.lines import Line, Span, line, plain, spread
from pixart_tui.tui.drawing.states import mark_span
from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.widgets.line_view import LineBlock

TABS: Final = (
    ("runs", "Runs"),
    ("profile", "Profile"),
    ("select", "Select"),
    ("bench", "Bench"),
    ("compare", "Compare"),
    ("log", "Log"),
)


class TabStrip(LineBlock):
    """Shows which tab is open; a click opens another."""

    class Clicked(Message):
        """A tab was clicked.

        Attributes:
            tab: Its id.
        """

        def __init__(self, tab: str) -> None:
            super().__init__()
            self.tab = tab

    def show_tabs(self, active: str, overview: Overview, width: int) -> None:
        """Shows the tabs with one of them active, in so many columns."""
        opened = [view.run for view in (overview.profile, overview.bench) if view is not None]
        self.show([strip_line(active, opened, width)])

    def on_click(self, event: events.Click) -> None:
        """Opens the tab under the pointer."""
        ends = accumulate(len(plain([span])) for span in _tab_spans(""))
        for (tab, _), end in zip(TABS, ends, strict=True):
            if event.x < end:
                self.post_message(self.Clicked(tab))
                return


def strip_line(active: str, opened: Sequence[RunView], width: int) -> Line:
    """The line: tabs on the left, open runs on the right, as much of them as fits."""
    tabs = tuple(_tab_spans(active))
    whole = spread(tabs, line(*_open_spans(opened)), width)
    return whole if len(whole) > len(tabs) else spread(tabs, line(*_short_spans(opened)), width)


def _tab_spans(active: str) -> Iterator[Span]:
    for number, (tab, title) in enumerate(TABS, start=1):
        yield Span(f" {number} {title} ", "active" if tab == active else "head")


def _open_spans(opened: Sequence[RunView]) -> Iterator[Span]:
    for run in opened:
        yield Span(f"  {run.kind} ", "muted")
        yield mark_span(run.state)
        progress = f" {run.done}/{run.total}" if run.total else ""
        yield Span(f"{progress} ", "muted")


def _short_spans(opened: Sequence[RunView]) -> Iterator[Span]:
    for run in opened:
        yield Span(f" {run.kind} ", "muted")
        yield mark_span(run.state)
    yield Span(" ")
