"""How the table's columns fit the screen: side by side, percentages below, or in parts."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pixart_tui.reporting.bench_table import BenchTable, split_change

_CELL_LEAST: Final = 12
_LABEL_MARGIN: Final = 1
_BREAKS: Final = re.compile(r"(?<=[+_-])")


@dataclass(frozen=True, slots=True)
class Layout:
    """Widths of one part of the table.

    Attributes:
        label: Cells of the metric's name.
        cell: Cells of each case.
        stacked: Whether a percentage stands below its figure.
    """

    label: int
    cell: int
    stacked: bool

    @property
    def column(self) -> int:
        """Cells of each case with the gap before it."""
        return self.cell + (1 if self.stacked else 2)


@dataclass(frozen=True, slots=True)
class Group:
    """Cases that stand side by side.

    Attributes:
        cases: Their indices.
        titles: Each case's label, in lines.
        layout: The widths.
    """

    cases: tuple[int, ...]
    titles: tuple[tuple[str, ...], ...]
    layout: Layout


def groups_of(table: BenchTable, width: int) -> list[Group]:
    """All cases side by side if they fit, in several groups below each other if not."""
    if not table.columns:
        return []
    label = max((len(name) for name, _ in table.lines), default=0)
    room = width - label - _LABEL_MARGIN
    layout, per_group = _layout(table, label, room)
    indices = range(len(table.columns))
    parts = [tuple(indices[at : at + per_group]) for at in range(0, len(indices), per_group)]
    return [Group(part, _titles(table, part, layout), layout) for part in parts]


def _layout(table: BenchTable, label: int, room: int) -> tuple[Layout, int]:
    """The widths, and how many cases stand side by side."""
    cases = len(table.columns)
    whole = Layout(label, max(_CELL_LEAST, _widest(table, stacked=False)), stacked=False)
    if cases * whole.column <= room:
        return whole, cases
    split = Layout(label, max(_CELL_LEAST, _widest(table, stacked=True)), stacked=True)
    return split, max(1, min(cases, room // split.column))


def _widest(table: BenchTable, *, stacked: bool) -> int:
    cells = [cell for _, cells in table.lines for cell in cells]
    parts = [part for cell in cells for part in split_change(cell)] if stacked else cells
    return max((len(part) for part in parts), default=0)


def _titles(
    table: BenchTable, part: tuple[int, ...], layout: Layout
) -> tuple[tuple[str, ...], ...]:
    return tuple(_wrapped(table.columns[index], layout.cell) for index in part)


def _wrapped(label: str, width: int) -> tuple[str, ...]:
    """The label broken behind ``+``, ``-`` and ``_``; two cells stay free for the mark."""
    lines = [""]
    for piece in _BREAKS.split(label):
        limit = width - 2 if len(lines) == 1 else width
        if lines[-1] and len(lines[-1]) + len(piece) > limit:
            lines.append("")
        lines[-1] += piece
    return tuple(lines)
