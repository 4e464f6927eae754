"""How a terminal writes: colors and attributes, as the parameters of SGR that set them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final, NamedTuple

_SEEN_ON_BLANKS: Final = frozenset({"4", "7", "9", "21", "53"})
"""Underlined, reversed, struck through, underlined twice, overlined."""
_MARKS: Final = frozenset(map(str, (*range(1, 10), 21, *range(51, 54))))
_STYLES: Final = frozenset(map(str, (*range(30, 38), *range(90, 98))))
_PAPERS: Final = frozenset(map(str, (*range(40, 48), *range(100, 108))))
_LENGTHS: Final = {"5": 3, "2": 5}
"""Of 256 colors and of true color: parameters with the one that announces it."""
_UNKNOWN: Final = "?"
RESET: Final = "\x1b[0m"


class Sgr(NamedTuple):
    """The style of the next characters, by SGR parameters.

    Attributes:
        cell_style: Parameters of its own color; empty for the terminal's.
        paper: Parameters of the color behind it.
        marks: Bold, reversed and so on, sorted.
    """

    cell_style: str = ""
    paper: str = ""
    marks: tuple[str, ...] = ()


PLAIN: Final = Sgr()


@lru_cache(maxsize=4096)
def dipped(sgr: Sgr, parameters: str) -> Sgr | None:
    """The sgr after ``ESC [ parameters m``; None where they are none that we know."""
    cell_style, paper, marks = sgr
    for one in _attributes(parameters):
        first = one.partition(";")[0]
        if one == "0":
            cell_style, paper, marks = PLAIN
        elif first == "38" or one in _STYLES:
            cell_style = one
        elif first == "48" or one in _PAPERS:
            paper = one
        elif one == "39":
            cell_style = ""
        elif one == "49":
            paper = ""
        elif one in _MARKS:
            marks = tuple(sorted({*marks, one}))
        else:
            return None
    return Sgr(cell_style, paper, marks)


def _attributes(parameters: str) -> Iterator[str]:
    """One after the other, a color of several parameters as one."""
    left = (parameters or "0").split(";")
    while left:
        length = 1
        if left[0] in ("38", "48"):
            length = _LENGTHS.get(left[1] if len(left) > 1 else "", 0)
        if not 0 < length <= len(left):
            yield _UNKNOWN
            return
        yield ";".join(left[:length])
        left = left[length:]


@lru_cache(maxsize=4096)
def change(before: Sgr | None, after: Sgr) -> str:
    """Returns the shortest SGR sequence from style ``before``, None if unknown, to ``after``."""
    afresh = f"\x1b[{';'.join(['0', *_parameters(after)])}m"
    if before is None or not _is_within(before, after):
        return afresh
    new = [one for one in _parameters(after) if one not in _parameters(before)]
    return f"\x1b[{';'.join(new)}m" if new else ""


def _is_within(before: Sgr, after: Sgr) -> bool:
    """Whether nothing of an SGR style has to be taken back."""
    loses_color = (before.cell_style and not after.cell_style) or (before.paper and not after.paper)
    return not loses_color and set(before.marks) <= set(after.marks)


def _parameters(sgr: Sgr) -> list[str]:
    return [one for one in (sgr.cell_style, sgr.paper, *sgr.marks) if one]


@lru_cache(maxsize=4096)
def on_blank(sgr: Sgr) -> Sgr:
    """Returns the part of an SGR style that shows on a space."""
    marks = tuple(one for one in sgr.marks if one in _SEEN_ON_BLANKS)
    return Sgr(sgr.cell_style if marks else "", sgr.paper, marks)
