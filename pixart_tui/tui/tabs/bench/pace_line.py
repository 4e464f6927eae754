"""How fast the row that runs goes: bars from 0 to the fastest, the newest on the right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pixart_tui.domain.live import Pace
from pixart_tui.tui.drawing.glyphs import LEVELS
from pixart_tui.tui.drawing.lines import Line, Span, fit, line, printable

_LABEL_CELLS: Final = 20
_FIGURES_CELLS: Final = len(" 99.99 it/s ") + len(" 99.99-99.99  ") + 1
_LEAST_BARS: Final = 8
_MOST_BARS: Final = 60
"""Half a minute: all of them move with each new one, and each costs bytes."""


def pace_line(pace: Pace | None, running: str | None, width: int) -> Line:
    """The running row's recent iterations per second; a dash until some are known.

    Args:
        pace: What the worker told last, perhaps of the row before.
        running: The label of the row that runs.
        width: Cells.
    """
    if pace is None or pace.label != running:
        return line(" it/s  ", Span("-", "muted"))
    name = printable(pace.label)
    label = fit(name, min(len(name), max(_LABEL_CELLS, width // 4)))
    room = width - _FIGURES_CELLS - len(label)
    paces = pace.iterations_per_s[-max(_LEAST_BARS, min(room, _MOST_BARS)) :]
    now = f" {_figure(paces[-1])} it/s "
    span = f" {_figure(min(paces))}-{_figure(max(paces))}  "
    bars = sparkline(paces, max(paces))
    return line(Span(now), Span(bars, "live"), Span(span, "muted"), Span(label, "muted"))


def sparkline(values: Sequence[float], top: float) -> str:
    """A bar for each value, from 0 to ``top``; a value above 0 is never drawn as nothing."""
    return "".join(_level(value / top if top > 0 else 0.0) for value in values)


def _level(share: float) -> str:
    return LEVELS[max(0, min(round(share * len(LEVELS)), len(LEVELS)) - 1)]


def _figure(iterations_per_s: float) -> str:
    return f"{iterations_per_s:.2f}" if iterations_per_s < 100 else f"{iterations_per_s:.0f}"
