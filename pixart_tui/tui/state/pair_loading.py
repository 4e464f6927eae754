"""Reading an image and its reference, in a thread."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pixart_tui.domain.errors import PixartTuiError

if TYPE_CHECKING:
    from PIL.Image import Image


@dataclass(frozen=True, slots=True)
class LoadedPair:
    """A pair whose files were read.

    Attributes:
        reference: The unquantized image.
        image: The one with something quantized.
        difference: What differs, times the factor.
        factor: What the difference was multiplied with.
        problem: Why there is no image; empty if there is.
    """

    reference: Image | None = None
    image: Image | None = None
    difference: Image | None = None
    factor: int = 1
    problem: str = ""


@lru_cache(maxsize=16)
def load_pair(image: Path, reference: Path) -> LoadedPair:
    """Reads both files and finds what differs; takes long enough for a thread."""
    from pixart_tui.runs.results.pictures import difference, read_image

    try:
        first, second = read_image(image), read_image(reference)
    except PixartTuiError as error:
        return LoadedPair(problem=f"no picture: {error.cause}")
    if first.size != second.size:
        return LoadedPair(problem="no difference: the two have different sizes")
    found = difference(first, second)
    return LoadedPair(second, first, found.image, found.factor)
