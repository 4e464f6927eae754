"""Lines of styled text as plain values: compared, tested and laid out without a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Literal, NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size

from pixart_tui.domain.plain_text import last_state
from pixart_tui.tui.drawing import glyphs

CellStyle = Literal[
    "text",
    "muted",
    "title",
    "head",
    "live",
    "good",
    "warn",
    "bad",
    "track",
    "floor",
    "active",
    "cursor",
    "heat1",
    "heat2",
    "heat3",
    "heat4",
    "heat5",
    "heat6",
    "heat7",
]


class Span(NamedTuple):
    """A stretch of text in one style."""

    text: str
    cell_style: CellStyle = "text"


Line = tuple[Span, ...]


def line(*parts: Span | str) -> Line:
    """A line from spans and plain texts."""
    return tuple(part if isinstance(part, Span) else Span(part) for part in parts)


def plain(content: Iterable[Span]) -> str:
    """The text of a line without its styles."""
    return "".join(span.text for span in content)


def fit(text: str, width: int) -> str:
    """The text in exactly ``width`` cells, padded or with its end cut off."""
    if cell_len(text) <= width:
        return set_cell_size(text, width)
    return set_cell_size(text, max(width - 1, 0)) + glyphs.ELLIPSIS if width > 0 else ""


def fit_right(text: str, width: int) -> str:
    """The text in exactly ``width`` cells, pushed to the right."""
    return fit(" " * (width - cell_len(text)) + text, width)


def fit_middle(text: str, width: int) -> str:
    """The text in exactly ``width`` cells, shortened in its middle: names differ at both ends."""
    if len(text) <= width:
        return text.ljust(width)
    head = (width - 1) // 2
    return text[:head] + glyphs.ELLIPSIS + text[len(text) - (width - 1 - head) :]


def wrap_path(text: str, width: int) -> list[str]:
    """A path over as many lines as it needs, whole, so that it can be copied."""
    return chop_cells(text, max(width, 1))


def printable(text: str) -> str:
    """Text from a prompt or a log with nothing in it that a terminal would act on.

    Of a progress bar that was redrawn with carriage returns, its last state.
    """
    return last_state(text)


def spread(left: Sequence[Span], right: Sequence[Span], width: int) -> Line:
    """Two groups of spans at the two ends of a line; the right one goes if there is no room."""
    gap = width - cell_len(plain(left)) - cell_len(plain(right))
    return (*left, Span(" " * gap), *right) if gap > 0 else tuple(left)


def progress_bar(fraction: float, width: int) -> Line:
    """A bar of ``width`` cells that is filled from the left."""
    filled = round(max(0.0, min(fraction, 1.0)) * width)
    return line(Span(glyphs.BAR * filled, "live"), Span(glyphs.TRACK * (width - filled), "track"))


def changed_cells(before: Line, after: Line) -> tuple[int, int]:
    """First cell that differs, and how many cells from there hold every difference."""
    old, new = _cells(before), _cells(after)
    widths = cell_len(plain(before)), cell_len(plain(after))
    if widths != (len(old), len(new)):  # wide characters: cells are not characters
        return 0, max(widths)
    pairs = enumerate(zip_longest(old, new))
    changed = [x for x, (was, now) in pairs if was != now] or [0]
    return changed[0], changed[-1] - changed[0] + 1


def _cells(content: Line) -> list[tuple[str, str]]:
    return [(character, span.cell_style) for span in content for character in span.text]
