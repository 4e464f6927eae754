"""The shape of a model as a grid: a row for each type of layer, a column for each block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

from pixart_tui.domain.layers.layers import Layer

Cell: TypeAlias = str | None
"""A layer's fqn, or nothing where the model has none."""

_SHORTER: Final = ((".to_", "."), (".net.", "."), (".out.0", ".out"))


@dataclass(frozen=True, slots=True)
class Row:
    """The layers of one type.

    Attributes:
        label: What they have in common: the name within a block, or outside the blocks the module.
        cells: By block; outside the blocks one after the other.
        in_blocks: Whether the columns are blocks.
    """

    label: str
    cells: tuple[Cell, ...]
    in_blocks: bool

    @property
    def short_label(self) -> str:
        """The label without what is the same in all models."""
        text = self.label
        for long, short in _SHORTER:
            text = text.replace(long, short)
        return text


@dataclass(frozen=True, slots=True)
class LayerGrid:
    """Every layer of a model, once.

    Attributes:
        rows: Those in blocks, then those outside, in the model's order.
    """

    rows: tuple[Row, ...]

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> LayerGrid:
        """The grid of a model's layers."""
        inside: dict[str, dict[int, str]] = {}
        outside: dict[str, list[str]] = {}
        for layer in layers:
            block = layer.block
            if block is not None:
                inside.setdefault(layer.kind, {})[block] = layer.fqn
            else:
                outside.setdefault(layer.fqn.partition(".")[0], []).append(layer.fqn)
        blocks = max((max(found) + 1 for found in inside.values()), default=0)
        rows = [Row(k, tuple(map(found.get, range(blocks))), True) for k, found in inside.items()]
        rows += [Row(label, tuple(fqns), False) for label, fqns in outside.items()]
        return cls(tuple(rows))

    @property
    def columns(self) -> int:
        """Cells of the longest row."""
        return max((len(row.cells) for row in self.rows), default=0)

    @property
    def blocks(self) -> int:
        """How many blocks the model has."""
        return max((len(row.cells) for row in self.rows if row.in_blocks), default=0)

    def moved(self, fqn: str, rows: int, columns: int, shown: Callable[[str], bool]) -> str:
        """The layer that an arrow key leads to; the same one where there is none further on.

        Args:
            fqn: Where the cursor is.
            rows: -1 up, 1 down.
            columns: -1 left, 1 right.
            shown: Whether a layer can be chosen; others are passed over.
        """
        y, x = self._place(fqn)
        if columns:
            return (
                _first(self.rows[y].cells[x + 1 :], shown, fqn)
                if columns > 0
                else _first(reversed(self.rows[y].cells[:x]), shown, fqn)
            )
        others = self.rows[y + 1 :] if rows > 0 else tuple(reversed(self.rows[:y]))
        return _first((_nearest(row.cells, x, shown) for row in others), shown, fqn)

    def _place(self, fqn: str) -> tuple[int, int]:
        return next(
            (y, row.cells.index(fqn)) for y, row in enumerate(self.rows) if fqn in row.cells
        )


def _first(cells: Iterable[Cell], shown: Callable[[str], bool], otherwise: str) -> str:
    return next((cell for cell in cells if cell is not None and shown(cell)), otherwise)


def _nearest(cells: Sequence[Cell], x: int, shown: Callable[[str], bool]) -> Cell:
    by_distance = sorted(range(len(cells)), key=lambda i: abs(i - x))
    return _first((cells[i] for i in by_distance), shown, "") or None
