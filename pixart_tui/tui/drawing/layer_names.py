"""Names of layers in the room there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

_BLOCKS: Final = "transformer_blocks."
_WIDE: Final = 110


def shown_name(fqn: str, width: int) -> str:
    """The layer's name; on a narrow screen without what all names in blocks begin with."""
    return fqn if width >= _WIDE else fqn.removeprefix(_BLOCKS)


def name_width(fqns: Iterable[str], width: int, limit: int) -> int:
    """Cells that the longest shown name needs, ``limit`` at most."""
    return min(max((len(shown_name(fqn, width)) for fqn in fqns), default=8), limit)
