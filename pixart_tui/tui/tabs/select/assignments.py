"""The map of a selection: what each layer is quantized to."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import CellStyle, Span
from pixart_tui.tui.drawing.map_lines import Mark

_STYLES: tuple[CellStyle, ...] = ("live", "good", "floor", "warn")


def assignment_mark(score: LayerScore, selection: Selection | None) -> Mark:
    """A layer's cell: a glyph for each quant type, or why it is kept."""
    fqn = score.layer.fqn
    if selection is not None and fqn in selection.assignments:
        place = _types(selection).index(selection.assignments[fqn]) % len(glyphs.QUANT_TYPES)
        beside = NO_GAIN_MARK if score.no_speedup else " "
        return (glyphs.QUANT_TYPES[place], beside, _STYLES[place])
    if score.status is LayerStatus.NOT_FINITE:
        return (glyphs.FAILED, " ", "bad")
    if score.status is LayerStatus.EXCLUDED:
        return (glyphs.EXCLUDED, " ", "muted")
    if score.status is LayerStatus.PENDING:
        return (glyphs.PENDING, " ", "muted")
    return (glyphs.KEPT, " ", "muted")


def legend(selection: Selection, scores: Collection[LayerScore]) -> Iterator[Span]:
    """How many layers get each quant type, and why the others are kept."""
    for place, quant_type in enumerate(_types(selection)):
        count = sum(found == quant_type for found in selection.assignments.values())
        index = place % len(glyphs.QUANT_TYPES)
        yield Span(f"{glyphs.QUANT_TYPES[index]} {quant_type}: {count}", _STYLES[index])
    measured = {score.layer.fqn for score in scores if score.status is LayerStatus.MEASURED}
    kept = len(measured - set(selection.assignments))
    yield Span(f"{glyphs.KEPT} kept: {kept}", "muted")
    others = (
        (LayerStatus.EXCLUDED, glyphs.EXCLUDED, "excluded"),
        (LayerStatus.NOT_FINITE, glyphs.FAILED, "NaN"),
        (LayerStatus.PENDING, glyphs.PENDING, "to come"),
    )
    for status, glyph, word in others:
        count = sum(score.status is status for score in scores)
        if count:
            yield Span(f"{glyph} {word}: {count}", "muted")


def _types(selection: Selection) -> list[str]:
    return sorted(set(selection.assignments.values()))
