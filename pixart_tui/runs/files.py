"""Writing files so that a reader sees the old one or the new one, never a part."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pixart_tui.domain.errors import RequestError, WorkError


def write_atomically(path: Path, content: str | bytes, *, parents: bool = True) -> None:
    """Writes a whole file, or leaves what was there.

    Args:
        path: The file.
        content: What it is to hold.
        parents: Whether to make all folders above it, and not its own alone.

    Raises:
        WorkError: The directory cannot be written to, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    try:
        path.parent.mkdir(parents=parents, exist_ok=True)
        with replacing(path) as file:
            file.write(data)
    except OSError as error:
        raise WorkError(
            f"{path} could not be written",
            error.strerror or str(error),
            "free some space or name another place; what was there before is untouched",
        ) from error


def make_parent(path: Path) -> None:
    """Makes the directory of a file that will be written.

    Raises:
        RequestError: It cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = error.strerror or str(error)
        raise RequestError(f"{path} cannot be written", cause, "name another file") from error


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes a path's place once it is written and synced; nothing of it stays else."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
