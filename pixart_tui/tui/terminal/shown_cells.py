"""Tracks what the terminal shows, and finds the cells that a frame changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pixart_tui.tui.terminal.frames import Place, Stroke, read_frame
from pixart_tui.tui.terminal.sgr import RESET, Sgr, change, on_blank

_BRIDGED: Final = 4
"""So many cells between two changes are written again: to jump over them takes as many bytes."""
_SOMEWHERE: Final = -1
"""A column that is not known."""
_Cell = tuple[str, Sgr]
"""A character, and what is seen of its sgr."""


class ShownCells:
    """Every cell of a terminal, as far as it is known; at first none is.

    Args:
        columns: Of the terminal.
        rows: Of the terminal.
    """

    def __init__(self, columns: int, rows: int) -> None:
        self._columns = columns
        self._rows: list[list[_Cell | None]] = [[None] * columns for _ in range(rows)]
        self._sgr: Sgr | None = None
        self._place: Place | None = None

    def changes(self, data: str) -> str:
        """Returns a shorter text with the effect of a frame; empty for no effect.

        What cannot be read as a frame goes through as it is, and nothing is known after it.
        """
        frame = read_frame(data)
        if frame is None or not all(map(self._is_within, frame.strokes)):
            return self._let_through(data)
        written = [part for stroke in frame.strokes for part in self._written(stroke)]
        if frame.cursor is not None:
            written.append(self._moved(frame.cursor))
        return "".join(written)

    def _is_within(self, stroke: Stroke) -> bool:
        row, column = stroke.place
        return row < len(self._rows) and column + stroke.width <= self._columns

    def _let_through(self, data: str) -> str:
        for row in self._rows:
            row[:] = [None] * self._columns
        # Its writer takes the style to be plain.
        ahead = "" if self._sgr is None else RESET
        self._sgr = self._place = None
        return ahead + data

    def _written(self, stroke: Stroke) -> Iterator[str]:
        row, column = stroke.place
        shown = self._rows[row]
        where = slice(column, column + stroke.width)
        if not stroke.is_plain:  # where its characters end up is the terminal's business
            yield from self._drawn(stroke, 0, len(stroke.text))
            # A mark without a width of its own goes onto the character before it.
            for place in range(max(column - 1, 0), column + stroke.width):
                shown[place] = None
            return
        blank = on_blank(stroke.sgr)
        wanted = [(one, blank if one == " " else stroke.sgr) for one in stroke.text]
        if shown[where] != wanted:
            for start, end in _spans(shown[where], wanted):
                yield from self._drawn(stroke, start, end)
            shown[where] = wanted

    def _drawn(self, stroke: Stroke, start: int, end: int) -> Iterator[str]:
        """A part of a stroke, drawn."""
        row, column = stroke.place
        text = stroke.text[start:end]
        yield self._moved((row, column + start))
        yield self._dipped(stroke.sgr, is_blank=text.isspace())
        yield text
        # Some terminals draw marks and lines two cells wide: the next part is put in its place.
        self._place = row, (column + end if text.isascii() else _SOMEWHERE)

    def _moved(self, place: Place) -> str:
        """Moves the cursor, if it is not there."""
        before, self._place = self._place, place
        row, column = place
        if before == place:
            return ""
        if before is not None and before[0] == row:
            return f"\x1b[{column + 1}G"
        return f"\x1b[{row + 1};{column + 1}H"

    def _dipped(self, sgr: Sgr, *, is_blank: bool) -> str:
        """Takes another sgr, unless blanks look the same with this one."""
        before = self._sgr
        if is_blank and before is not None and on_blank(before) == on_blank(sgr):
            return ""
        self._sgr = sgr
        return change(before, sgr)


def _spans(shown: Sequence[_Cell | None], wanted: Sequence[_Cell]) -> list[tuple[int, int]]:
    """Begin and end of each stretch that is to be written."""
    spans: list[tuple[int, int]] = []
    for place, (before, after) in enumerate(zip(shown, wanted, strict=True)):
        if before == after:
            continue
        if spans and place - spans[-1][1] <= _BRIDGED:
            spans[-1] = (spans[-1][0], place + 1)
        else:
            spans.append((place, place + 1))
    return spans
