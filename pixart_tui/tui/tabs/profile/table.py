"""The layers as a table: as many columns as there is room for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.reporting.score_text import psnr_text
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.layer_names import name_width, shown_name
from pixart_tui.tui.drawing.lines import Line, Span, fit, fit_middle, fit_right, line
from pixart_tui.tui.tabs.profile.facts import Facts
from pixart_tui.tui.tabs.profile.order import Sort
from pixart_tui.tui.tabs.profile.whiskers import whisker

Column = Literal["loss", "interval", "psnr", "share", "saved"]

_RANK: Final = 4
_HEAD: Final = _RANK + 1
_WIDTHS: Final[dict[Column, int]] = {
    "loss": 10,
    "interval": 19,
    "psnr": 6,
    "share": 8,
    "saved": 10,
}
_TITLES: Final[dict[Column, str]] = {
    "loss": "1-SSIM",
    "interval": "95% interval",
    "psnr": "PSNR",
    "share": "FLOPs",
    "saved": "saved ms",
}
_SHOWN_ORDER: Final[tuple[Column, ...]] = ("loss", "interval", "psnr", "share", "saved")
_NAME_LEAST: Final = 14
_CHART_LEAST: Final = 10
_CHART_FROM: Final = 60
"""Narrower tables have no whiskers."""


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns there are, and how wide the others.

    Attributes:
        width: Of the whole table.
        name: Cells of the names.
        chart: Cells of the whiskers, 0 where there is no room.
        kinds: The columns of figures, from left to right.
    """

    width: int
    name: int
    chart: int
    kinds: tuple[Column, ...]

    @classmethod
    def of(cls, facts: Facts, width: int, sort: Sort) -> Columns:
        """The columns for a table of that width; the one that is sorted by is there."""
        least = _NAME_LEAST + (_CHART_LEAST if width >= _CHART_FROM else 0)
        room, kinds = width - _HEAD, []
        for kind in _by_importance(facts, sort):
            if room - _WIDTHS[kind] >= least:
                room -= _WIDTHS[kind]
                kinds.append(kind)
        limit = room - _CHART_LEAST if width >= _CHART_FROM else room
        name = name_width(facts.by_fqn, width, min(limit, max(_NAME_LEAST, room * 3 // 5)))
        name = name if width >= _CHART_FROM else room
        return cls(width, name, room - name, tuple(k for k in _SHOWN_ORDER if k in kinds))


def columns_line(columns: Columns, sort: Sort) -> Line:
    """The columns' names; the one that is sorted by has a mark."""
    names = {Sort.NAME: "layer", Sort.BLOCK: "layer by block"}
    mark = glyphs.SORTED if sort in names else ""
    name = fit(names.get(sort, "layer"), columns.name - len(mark)).rstrip() + mark
    text = fit_right("#" + (glyphs.SORTED if sort is Sort.RANK else ""), _RANK) + " "
    text += fit(name, columns.name) + fit(" log scale", columns.chart)
    for kind in columns.kinds:
        mark = glyphs.SORTED if sort.value == kind else ""
        text += fit_right(_TITLES[kind] + mark, _WIDTHS[kind])
    return line(Span(text, "head"))


def layer_line(score: LayerScore, facts: Facts, columns: Columns) -> Line:
    """A layer's row."""
    if score.ssim is None or score.layer.fqn == facts.now:
        return _noted_line(score, facts, columns)
    figures = (_figure(kind, score, facts) for kind in columns.kinds)
    return (
        *_rank_spans(score, facts),
        Span(_name(score, columns)),
        *_chart(score, facts, columns.chart),
        *figures,
    )


def _by_importance(facts: Facts, sort: Sort) -> list[Column]:
    found: list[Column] = ["loss", "share", "saved", "interval", "psnr"]
    if not facts.imaged:
        found.remove("psnr")
    if not facts.timed:
        found.remove("saved")
    if sort is Sort.SAVED and facts.timed:
        found.remove("saved")
        found.insert(1, "saved")
    return found


def _rank_spans(score: LayerScore, facts: Facts) -> tuple[Span, ...]:
    text = fit_right(facts.rank(score), _RANK)
    return (Span(text), Span(NO_GAIN_MARK, "warn")) if score.no_speedup else (Span(f"{text} "),)


def _chart(score: LayerScore, facts: Facts, width: int) -> Line:
    return (Span(" "), *whisker(score, facts.axis, width - 1)) if width > 1 else ()


def _figure(kind: Column, score: LayerScore, facts: Facts) -> Span:
    text = {
        "loss": lambda: wording.loss(score.loss),
        "interval": lambda: interval_text(score),
        "psnr": lambda: psnr_text(score),
        "share": lambda: wording.share(facts.share(score)),
        "saved": lambda: saved_text(score),
    }[kind]()
    return Span(fit_right(text, _WIDTHS[kind]), "text" if kind == "loss" else "muted")


def interval_text(score: LayerScore) -> str:
    """``0.000100-0.000300``, nothing where it is not known."""
    if score.ssim_low is None or score.ssim_high is None:
        return ""
    return ends_text(score.ssim_low, score.ssim_high)


def ends_text(ssim_low: float, ssim_high: float) -> str:
    """The ends of an interval of SSIM as those of 1 - SSIM."""
    return f"{1 - ssim_high:.6f}-{1 - ssim_low:.6f}"


def saved_text(score: LayerScore) -> str:
    """Milliseconds a step that quantizing the layer saves; a dash where it was not timed."""
    return f"{1000 * score.latency_s.saved:+.4f}" if score.latency_s is not None else "-"


def _noted_line(score: LayerScore, facts: Facts, columns: Columns) -> Line:
    """A layer without figures: a mark, and why."""
    mark, note = _note(score, facts)
    room = columns.width - _HEAD - columns.name - 1
    return (
        Span(fit_right(mark, _RANK) + " ", "warn"),
        Span(_name(score, columns) + " ", "muted"),
        Span(fit(note, room), "muted"),
    )


def _note(score: LayerScore, facts: Facts) -> tuple[str, str]:
    if score.layer.fqn == facts.now:
        return (glyphs.RUNNING, "being measured")
    if score.status is LayerStatus.NOT_FINITE:
        return (glyphs.FAILED, "NaN or infinity in the image: keep this layer")
    if score.status is LayerStatus.EXCLUDED:
        return (glyphs.EXCLUDED, f"excluded: {score.reason}")
    return (glyphs.PENDING, "")


def _name(score: LayerScore, columns: Columns) -> str:
    return fit_middle(shown_name(score.layer.fqn, columns.width), columns.name)
