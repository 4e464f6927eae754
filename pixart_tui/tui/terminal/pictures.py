"""Pictures in a terminal: how they are shown here, and one as something that Rich prints.

textual-image draws with the protocols of kitty and sixel. It asks the terminal what it can do
while it is imported, and waits 0.1 s for each answer: over a slow line answers come too late and
end up on the screen. It also brings numpy along, before the first paint. So it is imported only
where a protocol is wanted and the terminal knows one; half-cells are our own.
"""

from __future__ import annotations

import termios
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from rich.color import Color
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.segment import Segment
from rich.style import Style
from rich.text import Text

from pixart_tui.tui.drawing.lines import wrap_path
from pixart_tui.tui.terminal.answers import may_draw_pictures

if TYPE_CHECKING:
    from PIL.Image import Image

Cells = tuple[tuple[Segment, ...], ...]
"""A picture's rows of cells."""

_UPPER_HALF: Final = "▀"
_STEP: Final = 4
_COARSE: Final = [min(255, (value + _STEP // 2) // _STEP * _STEP) for value in range(256)] * 3
"""Merges colors that look the same: a third fewer bytes when pictures change."""

_MULTIPLEXERS: Final = ("TMUX", "STY")
_REMOTE: Final = ("SSH_CONNECTION", "SSH_CLIENT", "SSH_TTY")


class ImageMode(StrEnum):
    """How pictures are drawn: the values of ``--images``."""

    AUTO = "auto"
    KITTY = "kitty"
    SIXEL = "sixel"
    HALFCELL = "halfcell"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Pictures:
    """How pictures are shown in this terminal.

    Attributes:
        mode: Never ``auto``.
        reason: Why there are none, for the user; empty where there are, or none are wanted.
    """

    mode: ImageMode
    reason: str = ""


HALF_CELLS: Final = Pictures(ImageMode.HALFCELL)


def choose_pictures(
    wish: ImageMode,
    environ: Mapping[str, str],
    *,
    is_terminal: bool = True,
    ascii_only: bool = False,
) -> Pictures:
    """How pictures are shown, before a dashboard starts: afterwards nothing may ask the terminal.

    Args:
        wish: What the user asked for.
        environ: The environment.
        is_terminal: Whether the output is a terminal.
        ascii_only: Whether only ASCII may be drawn.
    """
    if wish is ImageMode.NONE:
        return Pictures(ImageMode.NONE)
    if reason := _in_the_way(environ, is_terminal, ascii_only):
        return Pictures(ImageMode.NONE, reason)
    if wish is ImageMode.HALFCELL or (wish is ImageMode.AUTO and not _may_draw(environ)):
        return HALF_CELLS
    able = _ask_terminal()  # a protocol that was asked for needs at least the size of a cell
    if wish is ImageMode.AUTO:
        return Pictures(able or ImageMode.HALFCELL)
    if able is None:
        return Pictures(ImageMode.NONE, f"{wish} pictures need a terminal that tells its size")
    return Pictures(wish)


def _in_the_way(environ: Mapping[str, str], is_terminal: bool, ascii_only: bool) -> str:
    if not is_terminal:
        return "pictures need a terminal"
    if environ.get("NO_COLOR"):
        return "pictures need colors, and NO_COLOR is set"
    if ascii_only:
        return "pictures need more than ASCII"
    if environ.get("TERM", "dumb") in ("dumb", "unknown", ""):
        return "pictures need colors, and TERM says that there are none"
    return ""


def _is_far(environ: Mapping[str, str]) -> bool:
    """Whether a protocol's bytes would cross a line, or a multiplexer that swallows them."""
    multiplexed = environ.get("TERM", "").startswith(("tmux", "screen"))
    return multiplexed or any(environ.get(name) for name in (*_MULTIPLEXERS, *_REMOTE))


def _may_draw(environ: Mapping[str, str]) -> bool:
    return not _is_far(environ) and may_draw_pictures()


def _ask_terminal() -> ImageMode | None:
    """Asks the terminal for its abilities; None where it cannot be asked."""
    try:
        from textual_image import renderable, widget  # noqa: F401 - widget asks for a size
    except (OSError, ValueError, ArithmeticError, termios.error):
        # Standard input is none, it has no columns, or what it said was not understood.
        return None

    if renderable.Image is renderable.TGPImage:
        return ImageMode.KITTY
    if renderable.Image is renderable.SixelImage:
        return ImageMode.SIXEL
    return ImageMode.HALFCELL


def open_image(path: Path) -> Image:
    """Decodes an image file; takes long enough for a thread.

    Raises:
        OSError: It is missing or no image.
    """
    from PIL import Image as PilImage

    with PilImage.open(path) as image:
        return image.convert("RGB")


def fitted(pixels: tuple[int, int], columns: int, rows: int) -> tuple[int, int]:
    """Columns and rows of cells, twice as high as wide, that show an image as large as fits."""
    width, height = pixels
    scale = min(columns / width, 2 * rows / height)
    return max(1, int(width * scale)), max(1, int(height * scale / 2))


def half_cells(image: Image, columns: int, rows: int) -> Cells:
    """An image as cells whose upper and lower halves are pixels; for a thread."""
    from PIL import Image as PilImage

    small = image.convert("RGB").resize((columns, 2 * rows), PilImage.Resampling.LANCZOS)
    data = small.point(_COARSE).tobytes()
    pixels = [tuple(data[start : start + 3]) for start in range(0, len(data), 3)]
    lines = [pixels[start : start + columns] for start in range(0, len(pixels), columns)]
    return tuple(
        tuple(_cell(*pair) for pair in zip(upper, lower, strict=True))
        for upper, lower in zip(lines[::2], lines[1::2], strict=True)
    )


def _cell(upper: tuple[int, ...], lower: tuple[int, ...]) -> Segment:
    below = Color.from_rgb(*lower)
    if upper == lower:  # half the bytes on the wire
        return Segment(" ", Style(bgcolor=below))
    return Segment(_UPPER_HALF, Style(color=Color.from_rgb(*upper), bgcolor=below))


@dataclass(frozen=True, slots=True)
class HalfCellPicture:
    """A picture in half-cells that Rich prints.

    Attributes:
        image: The image.
        width: Columns that it may take.
    """

    image: Image
    width: int

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        """Its rows."""
        columns = min(self.width, options.max_width)
        for row in half_cells(self.image, *fitted(self.image.size, columns, 10_000)):
            yield from Segment.simplify(row)
            yield Segment.line()


@dataclass(frozen=True, slots=True)
class _Whole:
    """A text over as many rows as it needs with nothing left out, so that it can be copied."""

    text: str

    def __rich_console__(self, _console: Console, options: ConsoleOptions) -> RenderResult:
        for chunk in wrap_path(self.text, options.max_width):
            yield Segment(chunk)
            yield Segment.line()


def picture(path: Path, width: int, pictures: Pictures) -> RenderableType:
    """An image file for ``Console.print``, and where it lies.

    Args:
        path: The image file.
        width: Columns that it may take.
        pictures: How pictures are shown here.

    Raises:
        OSError: The file is missing or no image.
    """
    where = _Whole(f"the file is at {path}")
    if pictures.mode is ImageMode.NONE:
        return Group(Text(pictures.reason), where) if pictures.reason else where
    return Group(_drawn(open_image(path), width, pictures.mode), where)


def _drawn(image: Image, width: int, mode: ImageMode) -> RenderableType:
    if mode is ImageMode.HALFCELL:
        return HalfCellPicture(image, width)
    from textual_image import renderable

    kind = renderable.TGPImage if mode is ImageMode.KITTY else renderable.SixelImage
    return kind(image, width=width, height="auto")
