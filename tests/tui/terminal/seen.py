"""What a user sees of a terminal's cells."""

from __future__ import annotations

import pyte
from pyte.screens import Char


def seen(screen: pyte.Screen) -> list[list[Char]]:
    """Every cell without what is not seen of it: a space has no color of its own."""
    return [
        [_seen_cell(screen.buffer[row][column]) for column in range(screen.columns)]
        for row in range(screen.lines)
    ]


def _seen_cell(cell: Char) -> Char:
    if cell.data != " ":
        return cell
    plain = cell._replace(bold=False, italics=False, blink=False)
    is_marked = cell.reverse or cell.underscore or cell.strikethrough
    return plain if is_marked else plain._replace(fg="default")
