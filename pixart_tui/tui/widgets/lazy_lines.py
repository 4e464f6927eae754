"""Many lines of which only those on the screen are made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from pixart_tui.tui.drawing.lines import Line


class LazyLines(Sequence[Line]):
    """A sequence of lines that makes a line when it is first asked for.

    Args:
        count: How many lines there are.
        make: Makes the line at an index; a pure function.
    """

    def __init__(self, count: int, make: Callable[[int], Line]) -> None:
        self._count = count
        self._make = make
        self._made: dict[int, Line] = {}

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Line: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...

    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not 0 <= index < self._count:
            raise IndexError(index)
        if index not in self._made:
            self._made[index] = self._make(index)
        return self._made[index]
