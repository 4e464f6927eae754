"""A part of a log as lines of the screen: wrapped, with what is searched for marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from rich.cells import chop_cells

from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.lines import Line, Span, fit, line, printable, spread
from pixart_tui.tui.drawing.states import state_span
from pixart_tui.tui.state.overview import RunView
from pixart_tui.tui.tabs.log.reading import LogLine, LogPart, holds
from pixart_tui.tui.tabs.run_head import outcome_lines

_CONTINUED = " "
_FOUND = glyphs.RUNNING


@dataclass(frozen=True, slots=True)
class Search:
    """A search: its text, and the line of the log where it was found.

    Attributes:
        query: The text; empty for no search.
        offset: Where the line begins.
    """

    query: str = ""
    offset: int = -1


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the screen.

    Attributes:
        offset: Where the line of the log begins that it is a part of.
        content: What is drawn.
    """

    offset: int
    content: Line


def head_lines(run: RunView, part: LogPart | None, place: str, note: str, width: int) -> list[Line]:
    """Which log it is, how much of it there is, and what is wrong with its run."""
    left = [Span(" "), state_span(run.state), Span(f"  {run.kind} {run.model}", "title")]
    lines = [spread(left, [Span(f"run {run.id} ", "muted")], width)]
    size = f"{wording.size(part.size)}, {place}" if part else "reading"
    lines.append(line(Span(fit(f" worker.log  {size}", width), "muted")))
    if run.state.is_finished:
        lines += [found for found in outcome_lines(run, width) if not _repeats_log(found)]
    if note:
        lines.append(line(Span(fit(f" {printable(note)}", width), "warn")))
    return [*lines, line(Span(glyphs.RULE * width, "track"))]


def _repeats_log(content: Line) -> bool:
    return any(span.text.startswith("log: ") for span in content)


def rows_of(part: LogPart, search: Search, width: int) -> list[Row]:
    """All lines of a part, over as many lines of the screen as they need."""
    return [row for found in part.lines for row in _rows(found, search, width)]


def _rows(found: LogLine, search: Search, width: int) -> Iterator[Row]:
    chunks = chop_cells(found.text.rstrip(), width - 1) or [""]
    mark = _FOUND if found.offset == search.offset else " "
    for number, chunk in enumerate(chunks):
        lead = Span(_CONTINUED if number else mark, "live")
        yield Row(found.offset, (lead, *_marked(chunk, search.query)))


def _marked(text: str, query: str) -> Iterator[Span]:
    """The text with what is searched for in another style."""
    if not query or not holds(text, query):
        yield Span(text)
        return
    for piece in re.split(f"({re.escape(query)})", text, flags=re.IGNORECASE):
        if piece:
            yield Span(piece, "active" if piece.lower() == query.lower() else "text")
