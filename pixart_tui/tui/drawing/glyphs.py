"""Every glyph that the dashboard draws beside ASCII, and its ASCII character, as wide as itself.

Screens are written with the glyphs. ``--ascii`` exchanges them on the way to the terminal, so
that borders, charts and whatever a prompt or a log holds are exchanged too.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter
from textual.scrollbar import ScrollBarRender

from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.domain.plain_text import harmless
from pixart_tui.reporting import step_shares

QUEUED: Final = "◌"
RUNNING: Final = "▶"
DONE: Final = "✓"
FAILED: Final = "✗"
CANCELLED: Final = "■"
STALE: Final = "!"
CHOSEN: Final = "●"
KEPT: Final = "○"
SOME_STEPS: Final = "◐"
"""Quantized, but at the kept steps."""
MEAN: Final = "●"
INTERVAL: Final = "─"
FLOOR: Final = "│"
NOISE: Final = "┊"
BAR: Final = "━"
TRACK: Final = "─"
RULE: Final = "─"
CORNER: Final = "└"
BLOCK: Final = "█"
ELLIPSIS: Final = "…"
LEFT: Final = "←"
RIGHT: Final = "→"
UP: Final = "↑"
DOWN: Final = "↓"
LEVELS: Final = step_shares.LEVELS
SHADES: Final = "░▒▓"
PENDING: Final = "·"
EXCLUDED: Final = "-"
SORTED: Final = "▾"
POINT: Final = "◆"
QUANT_TYPES: Final = "●▲■◆"
"""One for each quant type of a selection, in their order."""

_ASCII: Final[dict[str, str]] = {
    QUEUED: "o",
    RUNNING: ">",
    DONE: "+",
    FAILED: "x",
    CANCELLED: "#",
    CHOSEN: "*",
    KEPT: ".",
    SOME_STEPS: "%",
    NO_GAIN_MARK: "^",
    NOISE: ":",
    BAR: "=",
    ELLIPSIS: "~",
    LEFT: "<",
    RIGHT: ">",
    UP: "^",
    DOWN: "v",
    PENDING: ".",
    SORTED: "v",
    POINT: "@",
    "▲": "A",
    # Digits and letters: `.`, `-` and `=` are marks of their own in a map of layers.
    **dict(zip(LEVELS, "12345678", strict=True)),
    **dict(zip(SHADES, ".:%", strict=True)),
    "▀": '"',
    "▌": "|",
    "▐": "|",
    "▎": "|",
    "▊": "|",
    "▏": "|",
    "▕": "|",
    "▔": "-",
    "↵": "<",
    "⏎": "<",
    "🔎": "? ",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{BULLET}": "*",
    "\N{EN DASH}": "-",
    "\N{EM DASH}": "-",
}
_MOVE: Final = re.compile(r"\x1b\[\d+;\d+H")
_BRAILLE: Final = range(0x2800, 0x2900)
_BRAILLE_TWINS: Final = " ..::*###"


def in_ascii(text: str) -> str:
    """The text in as many cells, with ASCII characters only."""
    return text if text.isascii() else "".join(map(_in_ascii, text))


class TextOnly(LineFilter):
    """Leaves out of everything that is drawn what a terminal would act on.

    Prompts, names and files are shown in many places: here all of them go by. What is left out
    takes no cells, so that the rest stays where it is; codes of our own are marked as such.
    """

    def apply(self, segments: Iterable[Segment], background: Color) -> list[Segment]:
        """The same segments without control codes in their texts."""
        return [
            segment
            if segment.control or segment.text.isprintable() or _is_move(segment)
            else Segment(harmless(segment.text), segment.style)
            for segment in segments
        ]


def _is_move(segment: Segment) -> bool:
    """Whether it is how textual-image puts a sixel picture in its place: no text has no style."""
    return not segment.style and _MOVE.fullmatch(segment.text) is not None


class AsciiOnly(LineFilter):
    """Exchanges the glyphs of everything that is drawn."""

    def apply(self, segments: Iterable[Segment], background: Color) -> list[Segment]:
        """The same segments in ASCII; control codes stay."""
        return [
            segment if segment.control else Segment(in_ascii(segment.text), segment.style)
            for segment in segments
        ]


class WholeCells(ScrollBarRender):
    """A scrollbar of whole cells: in ASCII, parts of a cell would read as digits."""

    VERTICAL_BARS: ClassVar[list[str]] = [" "] * 8
    HORIZONTAL_BARS: ClassVar[list[str]] = [" "] * 8


@lru_cache(maxsize=4096)
def _in_ascii(character: str) -> str:
    if character.isascii():
        return character
    known = _ASCII.get(character) or _braille_in_ascii(character) or _box_in_ascii(character)
    if known:
        return known
    letter = unicodedata.normalize("NFKD", character)[0]
    return (letter if letter.isascii() else "?") * cell_len(character)


def _braille_in_ascii(character: str) -> str:
    """Heavier the more dots there are."""
    dots = ord(character) - _BRAILLE.start
    return _BRAILLE_TWINS[dots.bit_count()] if ord(character) in _BRAILLE else ""


def _box_in_ascii(character: str) -> str:
    name = unicodedata.name(character, "")
    if not name.startswith("BOX DRAWINGS"):
        return ""
    runs_across = any(word in name for word in ("HORIZONTAL", "LEFT", "RIGHT"))
    runs_down = any(word in name for word in ("VERTICAL", "UP", "DOWN"))
    return "+" if runs_across and runs_down else "-" if runs_across else "|"
