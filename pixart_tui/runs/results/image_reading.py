"""Reading the image files of users: whatever is in them becomes 8 bits of red, green and blue."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pixart_tui.domain.errors import RequestError

_BACKGROUND: Final = (255, 255, 255, 255)
_DEEP_GRAY: Final = ("I;16", "I;16L", "I;16B", "I;16N")
_ORIENTATION: Final = 0x0112
_UPPER_BYTE: Final = "its 16 bits a channel are compared by their upper 8"


@dataclass(frozen=True, slots=True)
class ReadImage:
    """An image file that was read.

    Attributes:
        image: In RGB.
        notes: What was done to get there, beyond decoding it.
    """

    image: Image.Image
    notes: tuple[str, ...]


def read_any_image(path: Path) -> ReadImage:
    """An image file in RGB, and what was done to it.

    Of several images the first is taken, it is turned as its EXIF orientation says, 16 bits become
    their upper 8, transparency is composed on white, CMYK is converted without its color profile.

    Raises:
        RequestError: It is missing, is no image, or holds what has no stated meaning in RGB.
    """
    try:
        with Image.open(path) as image:
            notes = tuple(_notes(image))
            scaled = image.format in ("PNG", "PPM")
            return ReadImage(_to_rgb(ImageOps.exif_transpose(image), scaled=scaled), notes)
    except RequestError:
        raise
    except UnidentifiedImageError as error:
        raise _unreadable(path, "Pillow finds no picture in it") from error
    except (
        OSError,
        ValueError,
        SyntaxError,
        EOFError,
        TypeError,
        LookupError,
        ArithmeticError,
        struct.error,
        zlib.error,
        Image.DecompressionBombError,
    ) as error:
        cause = getattr(error, "strerror", None) or str(error)[:200]
        raise _unreadable(path, cause or "Pillow cannot decode it") from error


def _notes(image: Image.Image) -> Iterator[str]:
    is_deep = _is_deep(image)  # before anything loads it, and forgets
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        yield f"the first of its {frames} images is compared"
    if image.getexif().get(_ORIENTATION, 1) != 1:
        yield "it is turned as its EXIF orientation says"
    if is_deep:
        yield _UPPER_BYTE
    if _has_alpha(image):
        yield "its transparency is composed on white"
    if image.mode == "P":
        yield "its palette is resolved to RGB"
    if image.mode == "CMYK":
        yield "its CMYK is converted to RGB without a color profile"


def _is_deep(image: Image.Image) -> bool:
    """Whether its file has 16 bits a channel; of colors Pillow itself takes the upper 8."""
    # `args` is what the decoder is told: "RGB;16B", or for PPM the mode and the largest value.
    raw = [str(tile[3]) for tile in getattr(image, "tile", ())]
    return image.mode.startswith("I") or any(";16" in x or "65535" in x for x in raw)


def _has_alpha(image: Image.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


def _to_rgb(image: Image.Image, *, scaled: bool) -> Image.Image:
    if image.mode in _DEEP_GRAY or (image.mode == "I" and scaled):
        gray = np.asarray(image).astype(np.int64) >> 8
        return Image.fromarray(gray.astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"pixels of mode {image.mode} have no stated range")
    if _has_alpha(image):
        paper = Image.new("RGBA", image.size, _BACKGROUND)
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _unreadable(path: Path, cause: str) -> RequestError:
    advice = "name a PNG, JPEG or WebP file"
    return RequestError(f"{path} cannot be read as an image", cause=cause, next_step=advice)
