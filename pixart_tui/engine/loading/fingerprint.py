"""Which model is this? A hash that is the same for every load of the same files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

_WHOLE_FILE_BYTES: Final = 256 * 1024 * 1024
_SAMPLE_BYTES: Final = 1024 * 1024


def fingerprint_files(root: Path, files: Iterable[Path]) -> str:
    """Hash files by their name within the model and their content.

    Files of up to 256 MiB are hashed whole. Of a larger one (a shard of T5-XXL) its size and its
    first and last MiB count: the header with every name and shape, and some of the weights. Two
    such shards that differ only in the middle are taken for the same.

    Args:
        root: The model directory.
        files: Configs, indices and weights below it, in any order.

    Returns:
        ``sha256:<hex>``.
    """
    digest = hashlib.sha256()
    for file in sorted(files):
        size = file.stat().st_size
        name = os.fsencode(file.relative_to(root).as_posix())
        digest.update(name + f"\0{size}\0".encode())
        for piece in _pieces(file, size):
            digest.update(piece)
    return f"sha256:{digest.hexdigest()}"


def fingerprint_text(text: str) -> str:
    """Hash a recipe, such as that of a synthetic model, to ``sha256:<hex>``."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _pieces(file: Path, size: int) -> Iterator[bytes]:
    with file.open("rb") as stream:
        if size > _WHOLE_FILE_BYTES:
            yield stream.read(_SAMPLE_BYTES)
            stream.seek(-_SAMPLE_BYTES, 2)
        while piece := stream.read(_SAMPLE_BYTES):
            yield piece
