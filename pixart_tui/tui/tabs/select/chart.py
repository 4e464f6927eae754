"""The curve as lines of text: moving a point changes two cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import exp, log
from typing import Final

from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, fit_right, line
from pixart_tui.tui.drawing.map_lines import legend_lines
from pixart_tui.tui.tabs.select.plot import Marked, Plot, Point

VERIFIED: Final = "V"
ONEDIFF_VERIFIED: Final = "S"

_LABEL: Final = 8
_TICKS: Final = (0, 25, 50, 75, 100)
_SMALLEST: Final = 1e-7
"""Smaller losses are drawn there; a selection of nothing has none."""

_Cells = dict[tuple[int, int], tuple[str, CellStyle]]


@dataclass(frozen=True, slots=True)
class Frame:
    """The axes: share across, the logarithm of the loss upwards.

    Attributes:
        width: Columns of the drawing.
        height: Its rows.
        low: Loss of the lowest row.
        high: Loss of the highest.
    """

    width: int
    height: int
    low: float
    high: float

    @classmethod
    def of(cls, plot: Plot, marked: Marked, width: int, height: int) -> Frame:
        """Axes that hold every point; what the rule setting selects does not move them."""
        points = [*plot.ours, *plot.onediff_rule, *filter(None, (marked.verified,))]
        points += filter(None, (marked.onediff_verified,))
        losses = [point.loss for point in points] + [marked.low, marked.high]
        shown = [loss for loss in losses if loss > _SMALLEST] or [1e-3]
        return cls(width, height, min(shown), max(*shown, 10 * min(shown)))

    def x(self, share: float) -> int:
        """The column of a share."""
        return round(share * (self.width - 1))

    def y(self, loss: float) -> int:
        """The row of a loss, from the top; what lies outside is put on the edge."""
        part = (log(max(loss, _SMALLEST)) - log(self.low)) / (log(self.high) - log(self.low))
        return round((1 - max(0.0, min(part, 1.0))) * (self.height - 1))

    def loss(self, y: int) -> float:
        """The loss of a row."""
        part = 1 - y / (self.height - 1)
        return exp(log(self.low) + part * (log(self.high) - log(self.low)))


def chart_lines(plot: Plot, marked: Marked, width: int, height: int) -> list[Line]:
    """The title, the drawing, its axis, and what the marks are; in ``height`` lines."""
    legend = legend_lines(_legend(plot, marked), width)
    what = "FLOPs" if plot.axis == "flops" else "time saved"
    title = line(Span(fit(f" 1-SSIM (log) over share of {what}", width), "head"))
    rows = height - len(legend) - 3
    if rows < 3:
        return [title, *legend][:height]
    frame = Frame.of(plot, marked, width - _LABEL - 1, rows)
    cells = _cells(plot, marked, frame)
    drawing = [_row(y, cells, frame) for y in range(rows)]
    return [title, *drawing, *_axis_lines(frame), *legend]


def _legend(plot: Plot, marked: Marked) -> Iterator[Span]:
    yield Span(f"{glyphs.CHOSEN} least loss", "live")
    if plot.onediff_rule:
        yield Span(f"{glyphs.KEPT} top percentage", "muted")
    if marked.chosen is not None:
        yield Span(f"{glyphs.POINT} this one, predicted", "warn")
    if marked.verified is not None:
        yield Span(f"{VERIFIED} verified", "good")
    if marked.onediff_verified is not None:
        yield Span(f"{ONEDIFF_VERIFIED} top percentage, verified", "floor")


def _cells(plot: Plot, marked: Marked, frame: Frame) -> _Cells:
    """Draws marks; later ones cover earlier ones."""
    cells: _Cells = {}
    for point in _dense(plot.onediff_rule, frame):
        cells[frame.x(point.share), frame.y(point.loss)] = (glyphs.KEPT, "muted")
    for point in _dense(plot.ours, frame):
        cells[frame.x(point.share), frame.y(point.loss)] = (glyphs.CHOSEN, "live")
    if marked.verified is not None:
        x = frame.x(marked.verified.share)
        for y in range(frame.y(marked.high), frame.y(marked.low) + 1):
            cells[x, y] = (glyphs.FLOOR, "good")
    stand_out: tuple[tuple[Point | None, str, CellStyle], ...] = (
        (marked.onediff_verified, ONEDIFF_VERIFIED, "floor"),
        (marked.verified, VERIFIED, "good"),
        (marked.chosen, glyphs.POINT, "warn"),
    )
    for found, glyph, cell_style in stand_out:
        if found is not None:
            cells[frame.x(found.share), frame.y(found.loss)] = (glyph, cell_style)
    return cells


def _dense(points: Sequence[Point], frame: Frame) -> Iterator[Point]:
    """A point for each column between the first and the last."""
    for one, other in pairwise(points):
        first, last = frame.x(one.share), frame.x(other.share)
        for x in range(min(first, last), max(first, last) + 1):
            part = (x - first) / (last - first) if last != first else 1.0
            logs = log(max(one.loss, _SMALLEST)), log(max(other.loss, _SMALLEST))
            yield Point(x / (frame.width - 1), exp(logs[0] + part * (logs[1] - logs[0])))


def _row(y: int, cells: _Cells, frame: Frame) -> Line:
    labeled = y in (0, (frame.height - 1) // 2, frame.height - 1)
    label = fit_right(f"{frame.loss(y):.1e}" if labeled else "", _LABEL)
    drawn = [cells.get((x, y), (" ", "text")) for x in range(frame.width)]
    groups = groupby(drawn, key=lambda cell: cell[1])
    spans = (Span("".join(glyph for glyph, _ in group), cell_style) for cell_style, group in groups)
    return (Span(label, "muted"), Span(glyphs.FLOOR, "track"), *spans)


def _axis_lines(frame: Frame) -> list[Line]:
    corner = " " * _LABEL + glyphs.CORNER
    labels = [" "] * (_LABEL + 1 + frame.width)
    for percent in _TICKS:
        text = f"{percent}%"
        start = min(_LABEL + 1 + frame.x(percent / 100), len(labels) - len(text))
        labels[start : start + len(text)] = text
    return [
        line(Span(corner + glyphs.RULE * frame.width, "track")),
        line(Span("".join(labels), "muted")),
    ]
