"""The map of a profile: each layer's loss as one of eight levels around a reference line."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Final

from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.reporting.score_text import TIE_MARK
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.drawing.lines import CellStyle, Span
from pixart_tui.tui.drawing.map_lines import Mark
from pixart_tui.tui.state.overview import ProfileView

_BELOW_FLOOR: Final = (1 / 300, 1 / 100, 1 / 30, 1 / 10, 1 / 3, 3.0, 10.0)
"""Nearly all layers alone do less than the deployment dtype does to all of them."""
_AROUND: Final = (1 / 30, 1 / 10, 1 / 3, 3.0, 10.0, 30.0, 100.0)
_STYLES: Final[tuple[CellStyle, ...]] = (
    "heat1",
    "heat2",
    "heat3",
    "heat4",
    "heat5",
    "heat6",
    "heat7",
)
_NEUTRAL_STYLE: Final = 3
_WIDE: Final = 60


@dataclass(frozen=True, slots=True)
class Scale:
    """Levels of loss, as multiples of a reference line.

    Attributes:
        reference: The loss of the line.
        name: What it is.
        bounds: Where the next level begins, as multiples of it; one level holds 1.
    """

    reference: float
    name: str
    bounds: tuple[float, ...] = _BELOW_FLOOR

    @classmethod
    def of(cls, view: ProfileView) -> Scale:
        """Around the bf16 floor; without one around the noise, or the median layer."""
        if view.floor:
            return cls(view.floor, "floor")
        if view.noise:
            return cls(view.noise, "noise", _AROUND)
        losses = [score.loss for score in view.scores if score.loss is not None and score.loss > 0]
        return cls(median(losses) if losses else 1.0, "median", _AROUND)

    @property
    def neutral(self) -> int:
        """The level that holds the reference line."""
        return self._level_of(1.0)

    def level(self, loss: float) -> int:
        """The level of a loss, from 0."""
        return self._level_of(loss / self.reference)

    def _level_of(self, ratio: float) -> int:
        return sum(ratio >= bound for bound in self.bounds)

    def cell_style(self, level: int) -> CellStyle:
        """A level's style: neutral at the reference, two hues away from it."""
        place = _NEUTRAL_STYLE + level - self.neutral
        return _STYLES[max(0, min(place, len(_STYLES) - 1))]


def layer_mark(score: LayerScore, scale: Scale, now: str | None) -> Mark:
    """A layer's cell: its level, or why it has none; beside it whether it is tied.

    Args:
        score: The layer.
        scale: The levels.
        now: The layer that is being measured.
    """
    if score.layer.fqn == now:
        return (glyphs.RUNNING, " ", "live")
    if score.status is LayerStatus.NOT_FINITE:
        return (glyphs.FAILED, " ", "bad")
    if score.status is LayerStatus.EXCLUDED:
        return (glyphs.EXCLUDED, " ", "muted")
    if score.loss is None:
        return (glyphs.PENDING, " ", "muted")
    level = scale.level(score.loss)
    return (glyphs.LEVELS[level], TIE_MARK if score.tied else " ", scale.cell_style(level))


def measuring_now(view: ProfileView) -> str | None:
    """The layer that is being measured, of several side by side the one that was told last.

    None with the adjoint method, which measures all of them together.
    """
    if view.run.stage != "measuring" or view.run.unit != "layers":
        return None
    names = {score.layer.fqn for score in view.scores}
    return next((word for word in view.run.stage_detail.split() if word in names), None)


def legend(view: ProfileView, scale: Scale, width: int, cell: int) -> list[Span]:
    """Explains the cells, levels first.

    Args:
        view: The profile; marks that it has none of are left out.
        scale: The levels.
        width: Terminal cells of a line; where they are few the levels are told in short.
        cell: Terminal cells of a layer; beside a single one there is no room for ties.
    """
    spans = list(_exact_levels(scale) if width >= _WIDE else _brief_levels(scale))
    if cell > 1 and any(score.tied for score in view.scores):
        spans.append(Span(f"{TIE_MARK} tied", "muted"))
    spans.append(Span(f"{glyphs.PENDING} to come", "muted"))
    if view.run.unit == "layers":
        spans.append(Span(f"{glyphs.RUNNING} now", "live"))
    return [
        *spans,
        Span(f"{glyphs.FAILED} NaN", "bad"),
        Span(f"{glyphs.EXCLUDED} excluded", "muted"),
    ]


def _brief_levels(scale: Scale) -> Iterator[Span]:
    neutral = scale.neutral
    yield Span(f"{glyphs.LEVELS[:neutral]} below", "heat2")
    yield Span(f"{glyphs.LEVELS[neutral]} {scale.name}", "heat4")
    yield Span(f"{glyphs.LEVELS[neutral + 1 :]} above", "heat6")


def _exact_levels(scale: Scale) -> Iterator[Span]:
    starts = ("0", *map(_multiple, scale.bounds))
    for level, start in enumerate(starts):
        text = scale.name if level == scale.neutral else start
        yield Span(f"{glyphs.LEVELS[level]} {text}", scale.cell_style(level))


def _multiple(ratio: float) -> str:
    return f"1/{round(1 / ratio)}" if ratio < 1 else f"{ratio:g}x"
