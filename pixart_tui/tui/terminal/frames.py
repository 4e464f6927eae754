"""Reading a frame: where it writes what with which sgr."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from rich.cells import cell_len

from pixart_tui.tui.terminal.sgr import PLAIN, Sgr, dipped

_TOKEN: Final = re.compile(
    r"\x1b\[(?P<row>\d+);(?P<column>\d+)H"
    r"|\x1b\[(?P<sgr>[\d;]*)m"
    r"|(?P<text>[^\x00-\x1f\x7f-\x9f]+)"
    r"|(?P<newline>\n)"
)
Place = tuple[int, int]
"""Row and column, from 0."""


class Stroke(NamedTuple):
    """A text in one sgr, from a place on.

    Attributes:
        place: Where it begins.
        text: What it writes, nowhere empty.
        sgr: How.
        width: In cells.
        is_plain: Whether each of its characters takes one cell, on any terminal.
    """

    place: Place
    text: str
    sgr: Sgr
    width: int
    is_plain: bool


class Frame(NamedTuple):
    """The text of a frame, and the cursor's place behind it if the frame moves it."""

    strokes: list[Stroke]
    cursor: Place | None


class _UnknownError(Exception):
    """Something that is neither a position nor an SGR style nor text."""


def read_frame(data: str) -> Frame | None:
    """Reads a frame; None where there is anything in it but positions, sgrs and text on a line.

    A frame begins with the plain sgr, as each of Rich's texts ends with it.
    """
    strokes: list[Stroke] = []
    place: Place | None = None
    sgr = PLAIN
    try:
        for token in _tokens(data):
            if token["row"]:
                place = int(token["row"]) - 1, int(token["column"]) - 1
            elif token["text"]:
                strokes.append(_stroke(place, token["text"], sgr))
                place = _after(strokes[-1])
            elif token["newline"]:
                place = None
            else:
                sgr = _known(dipped(sgr, token["sgr"]))
    except _UnknownError:
        return None
    return Frame(strokes, place)


def _tokens(data: str) -> Iterator[re.Match[str]]:
    end = 0
    while end < len(data):
        token = _TOKEN.match(data, end)
        if token is None:
            raise _UnknownError
        end = token.end()
        yield token


def _stroke(place: Place | None, text: str, sgr: Sgr) -> Stroke:
    if place is None:
        raise _UnknownError
    is_plain = text.isascii() or all(cell_len(character) == 1 for character in text)
    return Stroke(place, text, sgr, len(text) if is_plain else cell_len(text), is_plain)


def _after(stroke: Stroke) -> Place:
    row, column = stroke.place
    return row, column + stroke.width


def _known(sgr: Sgr | None) -> Sgr:
    if sgr is None:
        raise _UnknownError
    return sgr
