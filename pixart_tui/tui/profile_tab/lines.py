"""A profile as lines: the head, and the layers ranked by sensitivity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from pixart_tui.domain.latency import NO_GAIN_MARK
from pixart_tui.domain.profile import LayerScore, LayerStatus, ranked
from pixart_tui.domain.score_text import (
    ESTIMATE_MARK,
    TIE_MARK,
    estimate_mark,
    psnr_text,
    rank_text,
)
from pixart_tui.tui import glyphs, wording
from pixart_tui.tui.board import ProfileView
from pixart_tui.tui.layer_names import name_width, shown_name
from pixart_tui.tui.lines import Line, Span, fit, fit_middle, fit_right, line, spread
from pixart_tui.tui.profile_tab.whiskers import Axis, whisker
from pixart_tui.tui.run_head import outcome_lines, progress_line, state_line

_RANK: Final = 4
_LOSS: Final = 10
_INTERVAL: Final = 19
_PSNR: Final = 6
_SHARE: Final = 8
_FIXED: Final = _RANK + 1 + _LOSS + _INTERVAL + _PSNR + _SHARE
_CHART_LEAST: Final = 9
_NAME_LEAST: Final = 18


@dataclass(frozen=True, slots=True)
class Columns:
    """How wide the columns are whose width depends on the screen's."""

    width: int
    name: int
    chart: int

    @classmethod
    def of(cls, view: ProfileView, width: int) -> Columns:
        """The columns for a screen of that width."""
        room = width - _FIXED
        fqns = (score.layer.fqn for score in view.scores)
        name = name_width(fqns, width, min(room - _CHART_LEAST, max(_NAME_LEAST, room * 2 // 5)))
        return cls(width, name, room - name)


def head_lines(view: ProfileView, width: int) -> list[Line]:
    """State, progress, stage or outcome, reference lines, and the columns' names."""
    facts = []
    if view.profile is not None:
        conditions = view.profile.conditions
        facts = [conditions.quant_type, conditions.execution]
    lines = [state_line(view.run, facts, width), progress_line(view.run, "layers", width)]
    lines += [*_batch_lines(view, width), *_fork_lines(view, width)]
    lines += outcome_lines(view.run, width)
    if view.profile is not None:
        lines += [_reference_line(view, width), *_fast_line(view, width)]
        lines += _time_lines(view, width)
        lines += [_columns_line(Columns.of(view, width - 1))]
    return lines


def body_lines(view: ProfileView, width: int) -> list[Line]:
    """The layers: ranked, then those that broke the image, are to come, or are excluded."""
    columns = Columns.of(view, width)
    order = ranked(view.scores)
    axis = Axis.over(order, _references(view))
    total = sum(score.layer.flops for score in view.scores)
    lines = [
        _measured_line(rank, score, axis, total, columns)
        for rank, score in enumerate(order, start=1)
    ]
    return [*_broken_lines(view, columns), *lines, *_rest_lines(view, columns)]


def _references(view: ProfileView) -> list[tuple[float, str]]:
    marked = ((view.noise, glyphs.NOISE), (view.floor, glyphs.FLOOR))
    return [(loss, mark) for loss, mark in marked if loss]


def _reference_line(view: ProfileView, width: int) -> Line:
    assert view.profile is not None
    conditions = view.profile.conditions
    floor, noise = wording.loss(view.floor), wording.loss(view.noise)
    if conditions.floor_dtype is None:
        floor = "not measured"
    images = len(conditions.prompts) * len(conditions.seeds)
    rest = f"{wording.count(images, 'image')}, {conditions.num_inference_steps} steps "
    pace = f"{view.images_per_s:.1f} images/s, " if view.images_per_s else ""
    marked = (
        Span(f" {glyphs.FLOOR}", "floor"),
        Span(f" deployment floor {floor}  ", "muted"),
        Span(f" {glyphs.NOISE}", "floor"),
        Span(f" measurement noise {noise}", "muted"),
    )
    whole = spread(marked, [Span(pace + rest, "muted")], width)
    return whole if len(whole) > len(marked) else spread(marked, [Span(rest, "muted")], width)


def _time_lines(view: ProfileView, width: int) -> Iterator[Line]:
    """The measured time of all linear layers, where they were timed."""
    timed = [score.latency_s for score in view.scores if score.latency_s is not None]
    if not timed:
        return
    total_ms = 1000 * sum(latency.unquantized for latency in timed)
    idle = sum(score.does_not_pay for score in view.scores)
    mark = f"   {NO_GAIN_MARK} no faster quantized: {wording.count(idle, 'layer')}" if idle else ""
    yield line(Span(fit(f" linear layers {total_ms:.3f} ms a step{mark}", width), "muted"))


def _batch_lines(view: ProfileView, width: int) -> Iterator[Line]:
    """Why fewer images are made at once than were at first."""
    if view.batch is not None and view.batch.reason:
        text = f"! images in a batch: {view.batch.images}; {view.batch.reason}"
        yield line(" ", Span(fit(text, width - 2), "warn"))


def _fork_lines(view: ProfileView, width: int) -> Iterator[Line]:
    """That the ranks are partly luck, and what would be stable."""
    stability = view.profile.stability if view.profile is not None else None
    if stability is not None and stability.forks:
        stable = stability.stable_guidance_scale
        advice = f"; stable: guidance {stable:g}" if stable is not None else ""
        text = (
            f"! trajectories fork at guidance {stability.guidance_scale:g}: ranks are partly luck"
        )
        yield line(" ", Span(fit(text + advice, width - 2), "warn"))


def _fast_line(view: ProfileView, width: int) -> Iterator[Line]:
    """What the marks mean, and what the fast method cost."""
    estimated = sum(score.estimated for score in view.scores)
    if estimated and view.cost is not None:
        known = sum(score.ssim is not None for score in view.scores)
        marks = f" {ESTIMATE_MARK} estimated: {estimated} of {known}   {TIE_MARK} not told apart"
        text = f"{marks}   cost 1/{1 / view.cost.share:.1f} of exhaustive"
        yield line(Span(fit(text, width), "muted"))


def _columns_line(columns: Columns) -> Line:
    text = (
        fit_right("#", _RANK)
        + " "
        + fit("layer", columns.name)
        + fit(" log scale", columns.chart)
        + fit_right("1-SSIM", _LOSS)
        + fit_right("95% interval", _INTERVAL)
        + fit_right("PSNR", _PSNR)
        + fit_right("FLOPs", _SHARE)
    )
    return line(Span(text, "head"))


def _measured_line(
    rank: int, score: LayerScore, axis: Axis, total_flops: int, columns: Columns
) -> Line:
    share = score.layer.flops / total_flops if total_flops else 0.0
    return (
        *_rank_spans(rank, score),
        Span(f"{_name(score, columns)} "),
        *whisker(score, axis, columns.chart - 1),
        Span(fit_right(estimate_mark(score) + wording.loss(score.loss), _LOSS)),
        Span(fit_right(_interval(score), _INTERVAL), "muted"),
        Span(fit_right(psnr_text(score), _PSNR), "muted"),
        Span(fit_right(wording.share(share), _SHARE), "muted"),
    )


def _rank_spans(rank: int, score: LayerScore) -> tuple[Span, ...]:
    text = fit_right(rank_text(rank, score), _RANK)
    return (Span(text), Span(NO_GAIN_MARK, "warn")) if score.does_not_pay else (Span(f"{text} "),)


def _interval(score: LayerScore) -> str:
    if score.ssim_low is None or score.ssim_high is None:
        return ""
    return f"{1 - score.ssim_high:.6f}-{1 - score.ssim_low:.6f}"


def _broken_lines(view: ProfileView, columns: Columns) -> Iterator[Line]:
    for score in view.scores:
        if score.status is LayerStatus.NOT_FINITE:
            yield _noted_line(
                glyphs.FAILED, score, "NaN or infinity in the image: keep this layer", columns
            )


def _rest_lines(view: ProfileView, columns: Columns) -> Iterator[Line]:
    # All of them, so that the number of lines stays: a change of it repaints the screen.
    for score in view.scores:
        if score.status is LayerStatus.PENDING:
            yield _noted_line(glyphs.QUEUED, score, "", columns)
    for score in view.scores:
        if score.status is LayerStatus.EXCLUDED:
            yield _noted_line("-", score, f"excluded: {score.reason}", columns)


def _noted_line(mark: str, score: LayerScore, note: str, columns: Columns) -> Line:
    room = columns.width - _RANK - 1 - columns.name - 1
    return (
        Span(fit_right(mark, _RANK) + " ", "warn"),
        Span(_name(score, columns) + " ", "muted"),
        Span(fit(note, room), "muted"),
    )


def _name(score: LayerScore, columns: Columns) -> str:
    return fit_middle(shown_name(score.layer.fqn, columns.width), columns.name)
