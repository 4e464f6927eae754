"""Pictures of runs: keeping them small, how two differ, and several side by side."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.profiles.image_metrics import Pixels
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.results.image_reading import read_any_image

PICTURE_SIDE: Final = 512
"""Pixels of the longer side of a picture that a run keeps."""

LAYER_SIDE: Final = 224
"""The same for one of hundreds: lossless, a grainy photograph of this size takes 97 KiB."""

_BRIGHT: Final = 255
_NEARLY_ALL: Final = 99.9
_LEAST_CELL: Final = 256
_MARGIN: Final = 8
_FONT_SIZE: Final = 14
_LINE: Final = 20
_PAPER: Final = (232, 232, 232)
_TEXT: Final = (20, 20, 20)


@dataclass(frozen=True, slots=True)
class Difference:
    """The difference of two images.

    Attributes:
        image: The absolute difference of each channel, times the factor.
        factor: A power of two that makes it visible.
    """

    image: Image.Image
    factor: int


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Two images of one size and what is said of them.

    Attributes:
        image: The image.
        reference: What it is compared with.
        caption: A line above them.
    """

    image: Image.Image
    reference: Image.Image
    caption: str


def read_image(path: Path) -> Image.Image:
    """An image file, in RGB.

    Raises:
        RequestError: It is missing or is no image.
    """
    return read_any_image(path).image


def pixels_of(image: Image.Image) -> Pixels:
    """An image's pixels, (height, width, 3)."""
    return np.asarray(image)


def reduced(image: Image.Image, side: int) -> Image.Image:
    """An image whose longer side has at most so many pixels, by averaging: always the same way."""
    longer = max(image.size)
    if longer <= side:
        return image
    width, height = (max(1, round(length * side / longer)) for length in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def keep_picture(path: Path, image: Image.Image, side: int) -> str:
    """Keeps a reduced image as lossless WebP; returns why it could not, empty if it could.

    A picture is no measurement: where it cannot be kept, the log says so too.
    The run's own directory is not made again once it is deleted.
    """
    encoded = io.BytesIO()
    reduced(image, side).save(encoded, "WEBP", lossless=True, method=0)
    try:
        write_atomically(path, encoded.getvalue(), parents=False)
    except WorkError as error:
        reason = f"{path.parent} could not be written: {error.cause}"
        _tell_once(f"no picture: {reason}")
        return reason
    return ""


@cache
def _tell_once(text: str) -> None:
    """Prints what holds for hundreds of pictures: the log must not fill what is left of a disk."""
    print(text, file=sys.stderr)  # noqa: T201 - the log


def write_image(path: Path, image: Image.Image) -> None:
    """Writes an image in the format that its name asks for, or leaves what was there.

    Raises:
        WorkError: The directory cannot be written to, or the disk is full.
    """
    encoded = io.BytesIO()
    suffix = path.suffix.lower()
    options = {"lossless": True} if suffix == ".webp" else {}
    image.save(encoded, Image.registered_extensions()[suffix], **options)
    write_atomically(path, encoded.getvalue())


def difference(image: Image.Image, reference: Image.Image) -> Difference:
    """Computes the visible difference of two images of one size."""
    values = np.abs(np.asarray(image).astype(np.int16) - np.asarray(reference))
    bright = float(np.percentile(values, _NEARLY_ALL)) or float(values.max())
    factor = 1
    while bright and 2 * factor * bright <= _BRIGHT:
        factor *= 2
    seen = np.minimum(values * factor, _BRIGHT).astype(np.uint8)
    return Difference(Image.fromarray(seen), factor)


def side_by_side(pairs: Sequence[SideBySide], titles: tuple[str, str], side: int) -> Image.Image:
    """Image, reference and difference next to each other, a row for each pair.

    Args:
        pairs: At least one.
        titles: What stands above the reference and above the images, in this order.
        side: Pixels of the longer side of a picture, at most.
    """
    rows = [_row(pair, titles, side) for pair in pairs]
    width = max(row.width for row in rows)
    sheet = Image.new("RGB", (width, sum(row.height for row in rows)), _PAPER)
    top = 0
    for row in rows:
        sheet.paste(row, (0, top))
        top += row.height
    return sheet


def _row(pair: SideBySide, titles: tuple[str, str], side: int) -> Image.Image:
    found = difference(pair.image, pair.reference)
    cells = [_sized(image, side) for image in (pair.reference, pair.image, found.image)]
    width, height = cells[0].size
    row = Image.new("RGB", (3 * width + 4 * _MARGIN, height + 2 * _LINE + 2 * _MARGIN), _PAPER)
    _write(row, pair.caption, _MARGIN, _MARGIN, row.width - 2 * _MARGIN)
    for number, (cell, title) in enumerate(
        zip(cells, (*titles, f"difference x {found.factor}"), strict=True)
    ):
        left = _MARGIN + number * (width + _MARGIN)
        _write(row, title, left, _MARGIN + _LINE, width)
        row.paste(cell, (left, _MARGIN + 2 * _LINE))
    return row


def _sized(image: Image.Image, side: int) -> Image.Image:
    """Reduced, or made larger by a whole number, with the pixels as they are."""
    larger = max(1, _LEAST_CELL // image.width)
    if larger == 1 or larger * max(image.size) > side:
        return reduced(image, side)
    return image.resize((larger * image.width, larger * image.height), Image.Resampling.NEAREST)


def _write(sheet: Image.Image, text: str, left: int, top: int, width: int) -> None:
    font = ImageFont.load_default(_FONT_SIZE)
    shown = text
    while len(shown) > 1 and font.getlength(shown) > width:
        shown = shown[:-2] + "…"
    ImageDraw.Draw(sheet).text((left, top), shown, font=font, fill=_TEXT)
