"""The layers chosen and kept, as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final, Literal

from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.reporting.score_text import psnr_text
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.layer_names import name_width, shown_name
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, fit_middle, fit_right, line
from pixart_tui.tui.state.overview import ProfileView
from pixart_tui.tui.widgets.lazy_lines import LazyLines

Column = Literal["loss", "summed", "psnr", "share"]

_MARK: Final = 3
_WIDTHS: Final[dict[Column, int]] = {"loss": 10, "summed": 10, "psnr": 8, "share": 8}
_TITLES: Final[dict[Column, str]] = {
    "loss": "1-SSIM",
    "summed": "summed",
    "psnr": "PSNR",
    "share": "FLOPs",
}
_IMPORTANCE: Final[tuple[Column, ...]] = ("loss", "share", "summed", "psnr")
_NAME_LEAST: Final = 15
_NOTE: Final = {
    LayerStatus.PENDING: "not measured yet",
    LayerStatus.NOT_FINITE: "NaN or infinity in the image",
}


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide the columns are.

    Attributes:
        width: Of the whole list.
        name: Cells of the names.
        kinds: The columns of figures.
    """

    width: int
    name: int
    kinds: tuple[Column, ...]

    @classmethod
    def of(cls, view: ProfileView, width: int) -> Columns:
        """As many columns as there is room for."""
        room, kinds = width - _MARK, list[Column]()
        for kind in _IMPORTANCE:
            if room - _WIDTHS[kind] >= _NAME_LEAST:
                room -= _WIDTHS[kind]
                kinds.append(kind)
        name = name_width((score.layer.fqn for score in view.scores), width, room)
        return cls(width, name, tuple(kind for kind in _WIDTHS if kind in kinds))


def columns_line(columns: Columns) -> Line:
    """The columns' names."""
    figures = (fit_right(_TITLES[kind], _WIDTHS[kind]) for kind in columns.kinds)
    return line(Span(" " * _MARK + fit("layer", columns.name) + "".join(figures), "head"))


def layer_lines(
    view: ProfileView,
    selection: Selection,
    columns: Columns,
    losses: Mapping[str, float] | None = None,
) -> Sequence[Line]:
    """The chosen layers, least sensitive first, then those that are kept.

    Args:
        view: The profile.
        selection: What was chosen.
        columns: How wide the columns are.
        losses: What each chosen layer loses at those steps at which it is quantized; where that is
            not told, what it loses at all of them.
    """
    known = losses or {}
    by_fqn = scores_for(view, selection)
    total = sum(score.layer.flops for score in view.scores)
    chosen = [by_fqn[fqn] for fqn in selection.chosen]
    kept = sorted((by_fqn[fqn] for fqn in selection.kept), key=_kept_order)
    alone = [known.get(score.layer.fqn, score.loss or 0.0) for score in chosen]
    sums = list(accumulate(alone))
    rule = line(Span(f" kept as they are: {wording.count(len(kept), 'layer')}", "head"))

    def made(index: int) -> Line:
        if index < len(chosen):
            score = chosen[index]
            if known:
                score = score.replace(ssim=1 - alone[index])
            mark = _mark(score, selection)
            return _chosen_line(score, mark, sums[index], total, columns)
        place = index - len(chosen) - 1
        return _kept_line(kept[place], total, columns) if place >= 0 else rule

    return LazyLines(len(chosen) + 1 + len(kept), made)


def scores_for(view: ProfileView, selection: Selection | None) -> dict[str, LayerScore]:
    """Each layer's score under the quant type that it gets; kept ones have the least loss.

    Behind the layers comes the attention of every block, where that is chosen from too.
    """
    by_type = {x: {s.layer.fqn: s for s in found} for x, found in view.scores_by_type.items()}
    assigned = selection.assignments if selection is not None else {}

    def of(fqn: str) -> LayerScore:
        found = [scores[fqn] for scores in by_type.values() if fqn in scores]
        given = by_type.get(assigned.get(fqn, ""), {}).get(fqn)
        return given or min(found, key=_kept_order)

    return {fqn: of(fqn) for scores in by_type.values() for fqn in scores}


def _mark(score: LayerScore, selection: Selection) -> str:
    always = selection.choice.is_at_every_step(score.layer.fqn)
    return glyphs.CHOSEN if always else glyphs.SOME_STEPS


def _chosen_line(score: LayerScore, mark: str, summed: float, total: int, columns: Columns) -> Line:
    return (
        *_mark_spans(mark, "live", score),
        Span(_name(score, columns)),
        *_figures(score, wording.loss(summed), total, columns, "text"),
    )


def _kept_line(score: LayerScore, total: int, columns: Columns) -> Line:
    head = (
        *_mark_spans(glyphs.KEPT, "muted", score),
        Span(_name(score, columns), "muted"),
    )
    note = score.reason or _NOTE.get(score.status)
    if note:
        room = columns.width - _MARK - columns.name - 2
        return (*head, Span("  " + fit(note, room), "muted"))
    return (*head, *_figures(score, "", total, columns, "muted"))


def _figures(
    score: LayerScore, summed: str, total: int, columns: Columns, cell_style: CellStyle
) -> tuple[Span, ...]:
    texts: dict[Column, str] = {
        "loss": wording.loss(score.loss),
        "summed": summed,
        "psnr": psnr_text(score),
        "share": wording.share(score.layer.flops / total if total else 0.0),
    }
    return tuple(
        Span(fit_right(texts[kind], _WIDTHS[kind]), cell_style if kind == "loss" else "muted")
        for kind in columns.kinds
    )


def _mark_spans(mark: str, cell_style: CellStyle, score: LayerScore) -> tuple[Span, ...]:
    if score.no_speedup:
        return (Span(f" {mark}", cell_style), Span(NO_GAIN_MARK, "warn"))
    return (Span(f" {mark} ", cell_style),)


def _kept_order(score: LayerScore) -> tuple[bool, float]:
    return (score.loss is None, score.loss or 0.0)


def _name(score: LayerScore, columns: Columns) -> str:
    return fit_middle(shown_name(score.layer.fqn, columns.width), columns.name)
