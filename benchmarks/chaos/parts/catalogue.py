"""All parts of the campaign, in order."""

from __future__ import annotations

from typing import Final

from benchmarks.chaos.parts import (
    Part,
    archives,
    clocks,
    disks,
    displays,
    fuzz,
    journals,
    kills,
    users,
)

PARTS: Final[tuple[Part, ...]] = (
    *kills.PARTS,
    *disks.PARTS,
    *journals.PARTS,
    *clocks.PARTS,
    *users.PARTS,
    *archives.PARTS,
    *displays.PARTS,
    *fuzz.PARTS,
)
