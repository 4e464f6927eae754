"""A grid of layers as lines: labels, block numbers, and a cell for each layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Final, TypeAlias

from pixart_tui.tui.drawing.layer_grid import Cell, LayerGrid
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, line, plain

Mark: TypeAlias = tuple[str, str, CellStyle]
"""A layer's glyph, what stands beside it where there is room, and the style of both."""

_LABEL_LEAST: Final = 9
_MARGIN: Final = 1


@dataclass(frozen=True, slots=True)
class MapLayout:
    """Where the cells of a grid are on the screen.

    Attributes:
        label: Cells for the labels.
        cell: Terminal cells of a layer: 1 or 2.
        columns: Layers in the longest row.
        short: Whether the labels are shortened.
    """

    label: int
    cell: int
    columns: int
    short: bool

    @classmethod
    def of(cls, grid: LayerGrid, room: int) -> MapLayout:
        """The largest layout that fits into ``room`` cells, or the smallest."""
        full = max((len(row.label) for row in grid.rows), default=0)
        brief = max((len(row.short_label) for row in grid.rows if row.in_blocks), default=0)
        brief = max(brief, _LABEL_LEAST)
        tries = [(full, 2, False), (brief, 2, True), (full, 1, False), (brief, 1, True)]
        found = [cls(label, cell, grid.columns, short) for label, cell, short in tries]
        return next((layout for layout in found if layout.width <= room), found[-1])

    @property
    def width(self) -> int:
        """Terminal cells of a line."""
        return self.left + self.cell * self.columns + _MARGIN

    @property
    def left(self) -> int:
        """The terminal cell where the first column begins."""
        return _MARGIN + self.label + 1


def map_layout(grid: LayerGrid, width: int) -> MapLayout:
    """The map takes half of a narrow screen at most, and a little less of a wide one."""
    return MapLayout.of(grid, max(width // 2, 40) if width < 110 else width * 9 // 20)


def map_lines(
    grid: LayerGrid, layout: MapLayout, mark: Callable[[str], Mark], cursor: str | None = None
) -> list[Line]:
    """The block numbers, then a line for each row of the grid.

    Args:
        grid: The layers.
        layout: Where they are.
        mark: What a layer's cell shows.
        cursor: The layer under the cursor.
    """
    lines = [line(Span(_numbers(grid, layout), "head"))]
    for row in grid.rows:
        label = fit(row.short_label if layout.short else row.label, layout.label)
        marks = [_shown(cell, mark, cursor) for cell in row.cells]
        lines.append((Span(f" {label} ", "muted"), *_spans(marks, layout.cell)))
    return lines


def cell_at(grid: LayerGrid, layout: MapLayout, x: int, y: int) -> Cell:
    """The layer at a place of what ``map_lines`` made."""
    column = (x - layout.left) // layout.cell
    if not 1 <= y <= len(grid.rows) or column < 0:
        return None
    cells = grid.rows[y - 1].cells
    return cells[column] if column < len(cells) else None


def _shown(cell: Cell, mark: Callable[[str], Mark], cursor: str | None) -> Mark:
    if cell is None:
        return (" ", " ", "text")
    glyph, beside, cell_style = mark(cell)
    return (glyph, beside, "cursor" if cell == cursor else cell_style)


def _spans(marks: Iterable[Mark], cell: int) -> Line:
    groups = groupby(marks, key=lambda found: found[2])
    return tuple(
        Span("".join(f"{glyph}{beside}"[:cell] for glyph, beside, _ in group), cell_style)
        for cell_style, group in groups
    )


def _numbers(grid: LayerGrid, layout: MapLayout) -> str:
    """``block    0    5    10``: each number where its column begins."""
    step = 5 if layout.cell == 1 else 4
    text = fit(" block", layout.left)
    for block in range(0, grid.blocks, step):
        text += f"{block:<{step * layout.cell}}"
    return fit(text.rstrip(), layout.width)


def legend_lines(entries: Iterable[Span], width: int) -> list[Line]:
    """The entries side by side, over as many lines as they need."""
    lines: list[list[Span]] = [[]]
    for entry in entries:
        if lines[-1] and len(plain(lines[-1])) + len(entry.text) + 2 > width:
            lines.append([])
        lines[-1].append(Span(f" {entry.text} ", entry.cell_style))
    return [tuple(spans) for spans in lines]
