"""The model that ships with the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

from pixart_tui.domain.errors import RequestError

EMBEDDED_NAME: Final = "pixart-emoji"


def embedded_directory() -> Path:
    """Directory of the embedded model, in diffusers' layout.

    Raises:
        RequestError: The package was installed without its data.
    """
    directory = Path(str(files("pixart_tui") / "assets" / EMBEDDED_NAME))
    if directory.is_dir():
        return directory
    raise RequestError(
        "the embedded model is missing from this installation",
        cause=f"{directory} is not there",
        next_step="Install the package again: pip install --force-reinstall pixart-tui.",
    )
