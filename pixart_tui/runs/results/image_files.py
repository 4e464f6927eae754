"""Images as files, in the format that a file's name says."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from pixart_tui.domain.errors import RequestError
from pixart_tui.runs.files import write_atomically

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


def image_format(path: Path) -> str:
    """The format that a file's name says, as Pillow names it.

    Raises:
        RequestError: It says none that images can be written in.
    """
    known = Image.registered_extensions().get(path.suffix.lower(), "")
    if known not in Image.SAVE:
        said = f'"{path.suffix}" is no image format' if path.suffix else "its name has no ending"
        raise RequestError(
            f"{path} cannot be written", cause=said, next_step="end it with .png, .jpg or .webp"
        )
    return known


def write_image(path: Path, pixels: npt.NDArray[np.uint8], *, parents: bool = True) -> None:
    """Writes pixels, (height, width, 3), as a whole file, or leaves what was there.

    Args:
        path: The file.
        pixels: What it is to show.
        parents: As of ``write_atomically``.

    Raises:
        RequestError: The file's name says no image format.
        WorkError: The file cannot be written.
    """
    encoded = BytesIO()
    Image.fromarray(pixels).save(encoded, format=image_format(path))
    write_atomically(path, encoded.getvalue(), parents=parents)
