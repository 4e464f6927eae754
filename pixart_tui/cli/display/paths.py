"""Paths as a user reads them."""

from __future__ import annotations

from pathlib import Path


def relative(path: str) -> str:
    """A path below the working directory as the user would type it."""
    try:
        return str(Path(path).relative_to(Path.cwd()))
    except ValueError:
        return path
