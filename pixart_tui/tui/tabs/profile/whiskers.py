"""A layer's loss with its interval on a logarithmic axis, in one line of text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from math import floor, log10

from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span


@dataclass(frozen=True, slots=True)
class Axis:
    """A logarithmic axis over 1 - SSIM, and its reference lines.

    Attributes:
        low: Loss at the left end.
        high: Loss at the right end.
        references: Loss and mark of each reference line.
    """

    low: float
    high: float
    references: tuple[tuple[float, str], ...] = ()

    @classmethod
    def over(cls, scores: Iterable[LayerScore], references: Sequence[tuple[float, str]]) -> Axis:
        """The axis that holds every measured layer and every reference."""
        losses = [loss for score in scores for loss in _losses(score)]
        shown = [value for value in (*losses, *(loss for loss, _ in references)) if value > 0]
        if not shown:
            return cls(1e-6, 1.0)
        return cls(min(shown), max(*shown, 2 * min(shown)), tuple(references))

    def cell(self, loss: float, width: int) -> int:
        """The cell of a loss; what lies outside is put on the edge."""
        if loss <= self.low:
            return 0
        part = (log10(loss) - log10(self.low)) / (log10(self.high) - log10(self.low))
        return min(floor(part * width), width - 1)


def whisker(score: LayerScore, axis: Axis, width: int) -> Line:
    """``   ──●──  │  ``: the mean, its 95% interval, the reference lines behind them."""
    cells: list[tuple[str, CellStyle]] = [(" ", "text")] * width
    for loss, mark in axis.references:
        cells[axis.cell(loss, width)] = (mark, "floor")
    low, mean, high = (axis.cell(loss, width) for loss in _losses(score))
    cells[low : high + 1] = [(glyphs.INTERVAL, "live")] * (high + 1 - low)
    cells[mean] = (glyphs.MEAN, "live")
    return _spans(cells)


def _losses(score: LayerScore) -> tuple[float, ...]:
    """1 - SSIM at the lower end of its interval, in the mean, and at the upper end."""
    if score.ssim is None or score.ssim_low is None or score.ssim_high is None:
        return ()
    return (1 - score.ssim_high, 1 - score.ssim, 1 - score.ssim_low)


def _spans(cells: Iterable[tuple[str, CellStyle]]) -> Line:
    """Cells as spans; a blank takes the style before it: each change of style costs bytes."""
    styled = accumulate(cells, lambda before, cell: (" ", before[1]) if cell[0] == " " else cell)
    groups = groupby(styled, key=lambda cell: cell[1])
    return tuple(
        Span("".join(mark for mark, _ in group), cell_style) for cell_style, group in groups
    )
