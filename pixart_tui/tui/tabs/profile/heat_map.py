"""Where the map of a profile stands on the screen, and what is below it."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.tui.drawing.lines import Line, line
from pixart_tui.tui.drawing.map_lines import MapLayout, Mark, legend_lines
from pixart_tui.tui.tabs.profile.details import detail_lines
from pixart_tui.tui.tabs.profile.facts import Facts
from pixart_tui.tui.tabs.profile.heat import layer_mark, legend

_DETAILS_LEAST: Final = 8
"""Fewer lines below the map hold too little of a layer's details."""


def marks(facts: Facts, shown: frozenset[str], fqn: str) -> Mark:
    """Returns the cell of a layer; None where the filter leaves it out."""
    if fqn not in shown:
        return (" ", " ", "text")
    return layer_mark(facts.by_fqn[fqn], facts.scale, facts.now)


def below_lines(
    facts: Facts, current: LayerScore | None, layout: MapLayout, room: int
) -> list[Line]:
    """The legend, and in a high terminal the layer under the cursor."""
    entries = legend(facts.view, facts.scale, layout.width, layout.cell)
    lines = legend_lines(entries, layout.width)
    left = room - len(lines) - 1
    if current is not None and left >= _DETAILS_LEAST:
        lines += [line(), *detail_lines(current, facts, layout.width - 1)[:left]]
    return lines[: max(room, 0)]
