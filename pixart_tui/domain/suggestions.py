"""The known name that a misspelt one may have meant."""

from __future__ import annotations

from collections.abc import Collection
from difflib import SequenceMatcher
from typing import Final

_READ_CHARACTERS: Final = 60


def closest(name: str, known: Collection[str]) -> str:
    """The most similar of at least one known name; case and underscores do not count."""
    return max(known, key=lambda one: SequenceMatcher(None, _plain(name), _plain(one)).ratio())


def _plain(name: str) -> str:
    return name[:_READ_CHARACTERS].strip().lower().replace("_", "-")
