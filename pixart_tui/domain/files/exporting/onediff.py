"""A OneDiff JSON that gives exactly a selection at a ``top_percentage`` other than 100."""

from __future__ import annotations

import json
import math
from itertools import count
from typing import Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.sidecar import SelectionSidecar

FILLER: Final = "pixart_tui_filler"
"""Begins the names that only make up the number; no layer is called so."""


_MOST_NAMES: Final = 100_000
"""Names that a file may hold: some 10 MB."""


def render_exact(record: SelectionSidecar, top_percentage: float) -> str:
    """The file's text: ``ssim`` encodes the order, ``measured_ssim`` is what was measured.

    onediffx keeps the first ``int(n * top_percentage / 100)`` names by ``ssim``, so the chosen
    layers stand first and as many others follow as make up n: layers that stay, and fillers that
    name no layer where there are too few.

    Args:
        record: The selection.
        top_percentage: What onediffx will be given, 90 by default.

    Raises:
        RequestError: No number of names gives it.
    """
    chosen = record.ssim_by_fqn
    total = names_needed(len(chosen), top_percentage)
    fillers = (f"{FILLER}.{index}" for index in count())
    others = iter((*record.selection.kept, *(next(fillers) for _ in range(total))))
    names = [*chosen, *(next(others) for _ in range(total - len(chosen)))]
    content: dict[str, dict[str, float | bool]] = {}
    for place, fqn in enumerate(names):
        content[fqn] = {"ssim": (total - place) / total}
        if fqn in record.measured_ssim:
            content[fqn]["measured_ssim"] = record.measured_ssim[fqn]
        else:
            content[fqn]["kept"] = True
    return json.dumps(content, indent=2) + "\n"


def names_needed(chosen: int, top_percentage: float) -> int:
    """The least number of names of which onediffx keeps exactly so many.

    Raises:
        RequestError: There is none.
    """
    if not 0 < top_percentage <= 100:
        raise RequestError(
            f"--exact-at {top_percentage:g} is out of range",
            cause="it is the top_percentage that OneDiff will be given",
            next_step="for example: --exact-at 90",
        )
    # onediffx's own arithmetic, which may round down.
    estimate = chosen / (top_percentage / 100)
    if estimate > _MOST_NAMES:
        raise RequestError(
            f"--exact-at {top_percentage:g} would take {estimate:.0e} names",
            cause=f"a file holds at most {_MOST_NAMES}",
            next_step="take a larger percentage",
        )
    estimate = math.floor(estimate)
    for total in range(max(chosen, estimate - 1), estimate + 3):
        if int(total * (top_percentage / 100)) == chosen:
            return total
    raise RequestError(
        f"no file gives {chosen} layers at top_percentage {top_percentage:g}",
        cause="OneDiff rounds down",
        next_step="take another percentage, or leave --exact-at out",
    )
