"""Each state's mark and style: a state is never told by its color alone."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.benchmarks.rows import RowStatus
from pixart_tui.runs.run import RunState
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import CellStyle, Span

_MARKS: Final[dict[RunState, tuple[str, CellStyle]]] = {
    RunState.QUEUED: (glyphs.QUEUED, "muted"),
    RunState.RUNNING: (glyphs.RUNNING, "live"),
    RunState.DONE: (glyphs.DONE, "good"),
    RunState.FAILED: (glyphs.FAILED, "bad"),
    RunState.CANCELLED: (glyphs.CANCELLED, "muted"),
    RunState.STALE: (glyphs.STALE, "warn"),
}
_ROW_MARKS: Final[dict[RowStatus, tuple[str, CellStyle]]] = {
    RowStatus.PENDING: (glyphs.QUEUED, "muted"),
    RowStatus.RUNNING: (glyphs.RUNNING, "live"),
    RowStatus.DONE: (glyphs.DONE, "good"),
    RowStatus.FAILED: (glyphs.FAILED, "bad"),
}
RESUMABLE: Final = (RunState.STALE, RunState.FAILED, RunState.CANCELLED)


def state_span(state: RunState) -> Span:
    """``▶ running`` in its style."""
    mark, cell_style = _MARKS[state]
    return Span(f"{mark} {state}", cell_style)


def mark_span(state: RunState) -> Span:
    """Only the mark."""
    return Span(*_MARKS[state])


def row_mark(status: RowStatus) -> Span:
    """The mark of a benchmark's row."""
    return Span(*_ROW_MARKS[status])
