"""A selection as lines: the dial, the outcome, and the layers chosen and kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pixart_tui.domain.latency import NO_GAIN_MARK
from pixart_tui.domain.profile import LayerScore, LayerStatus
from pixart_tui.domain.score_text import estimate_mark, psnr_text
from pixart_tui.domain.selection import Selection
from pixart_tui.tui import glyphs, wording
from pixart_tui.tui.board import ProfileView
from pixart_tui.tui.layer_names import name_width, shown_name
from pixart_tui.tui.lines import Ink, Line, Span, fit, fit_middle, fit_right, line, progress_bar
from pixart_tui.tui.run_head import state_line
from pixart_tui.tui.select_tab.dial import BY_TIME, RULE_NAMES, RULES, Dial
from pixart_tui.tui.select_tab.solving import Answer

_MARK: Final = 3
_LOSS: Final = 11
_PSNR: Final = 8
_SHARE: Final = 9
_SUM: Final = 11
_FIXED: Final = _MARK + _LOSS + _PSNR + _SHARE + _SUM
_NOTE: Final = {
    LayerStatus.PENDING: "not measured yet",
    LayerStatus.NOT_FINITE: "NaN or infinity in the image",
}


def head_lines(
    view: ProfileView, dial: Dial, answer: Answer | None, notes: list[Line], width: int
) -> list[Line]:
    """The profile, the rule, its parameter, the outcome, and the columns' names."""
    quant_type = view.profile.conditions.quant_type if view.profile else ""
    lines = [state_line(view.run, [quant_type], width), _rule_line(view, dial)]
    lines += [_dial_line(dial, width)]
    lines += [_outcome_line(view, answer, width), *_time_lines(answer, width)]
    lines += [*_unfinished_lines(view, width), *notes]
    return [*lines, _columns_line(view, width - 1)]


def body_lines(view: ProfileView, selection: Selection, width: int) -> list[Line]:
    """The chosen layers, least sensitive first, then those that are kept."""
    by_fqn = {score.layer.fqn: score for score in view.scores}
    kept = sorted((by_fqn[fqn] for fqn in selection.kept), key=_kept_order)
    rule = Span(f" kept as they are: {wording.count(len(kept), 'layer')}", "head")
    chosen = _chosen_lines([by_fqn[fqn] for fqn in selection.chosen], view, width)
    return [*chosen, line(rule), *(_kept_line(score, view, width) for score in kept)]


def is_timed(view: ProfileView) -> bool:
    """Whether the profile holds the time of its layers."""
    return view.profile is not None and bool(view.profile.latencies)


def _rule_line(view: ProfileView, dial: Dial) -> Line:
    spans = [Span(" rule    ", "muted")]
    for rule in RULES:
        if rule in BY_TIME and rule != dial.rule and not is_timed(view):
            continue
        spans.append(Span(f" {RULE_NAMES[rule]} ", "active" if rule == dial.rule else "muted"))
    return tuple(spans)


def _dial_line(dial: Dial, width: int) -> Line:
    bar = progress_bar(dial.fraction, width - 24)
    return (
        Span(f" {glyphs.LEFT}  {glyphs.RIGHT}   ", "muted"),
        Span(fit_right(dial.text, 9), "title"),
        Span("  "),
        *bar,
    )


def _outcome_line(view: ProfileView, answer: Answer | None, width: int) -> Line:
    if answer is None:
        return line(Span(" solving", "muted"))
    selection = answer.selection
    if selection is None:
        return line(Span(fit(f" ! {answer.problem}", width), "warn"))
    return line(
        Span(f" {len(selection.chosen)} of {len(view.scores)} layers", "title"),
        Span(f"   {wording.share(selection.flops_share)} of FLOPs", "title"),
        Span(f"   loss {wording.loss(selection.predicted_loss)}", "title"),
        Span("  predicted, not verified", "warn"),
    )


def _time_lines(answer: Answer | None, width: int) -> Iterator[Line]:
    """The selection's part of the time, and how many chosen layers get no faster."""
    selection = answer.selection if answer else None
    if selection is None or selection.time_share is None:
        return
    saved_ms = 1000 * (selection.predicted_time_saved_s or 0.0)
    share = wording.share(selection.time_share)
    idle = len(set(selection.chosen) & set(selection.does_not_pay or ()))
    effect = "saved" if saved_ms >= 0 else "lost"
    text = f" {share} of linear time   {abs(saved_ms):.3f} ms a step {effect}"
    mark = f"   {NO_GAIN_MARK} no faster: {idle}" if idle else ""
    yield line(Span(text, "title"), Span(fit(mark, max(width - len(text), 0)), "warn"))


def _unfinished_lines(view: ProfileView, width: int) -> list[Line]:
    pending = sum(score.status is LayerStatus.PENDING for score in view.scores)
    if not pending:
        return []
    text = f" ! {wording.count(pending, 'layer')} not measured yet: to be saved once the profile is"
    return [line(Span(fit(f"{text} done", width), "warn"))]


def _columns_line(view: ProfileView, width: int) -> Line:
    text = (
        " " * _MARK
        + fit("layer", _name_width(view, width))
        + fit_right("1-SSIM", _LOSS)
        + fit_right("summed", _SUM)
        + fit_right("PSNR", _PSNR)
        + fit_right("FLOPs", _SHARE)
    )
    return line(Span(text, "head"))


def _chosen_lines(chosen: list[LayerScore], view: ProfileView, width: int) -> Iterator[Line]:
    summed = 0.0
    for score in chosen:
        summed += score.loss or 0.0
        yield (
            *_mark_spans(glyphs.CHOSEN, "live", score),
            Span(_name(score, view, width)),
            Span(fit_right(estimate_mark(score) + wording.loss(score.loss), _LOSS)),
            Span(fit_right(wording.loss(summed), _SUM), "muted"),
            *_cost_spans(score, view),
        )


def _kept_line(score: LayerScore, view: ProfileView, width: int) -> Line:
    head = (*_mark_spans(glyphs.KEPT, "muted", score), Span(_name(score, view, width), "muted"))
    note = score.reason or _NOTE.get(score.status)
    if note:
        room = width - _MARK - _name_width(view, width) - 2
        return (*head, Span("  " + fit(note, room), "muted"))
    loss = Span(fit_right(estimate_mark(score) + wording.loss(score.loss), _LOSS), "muted")
    return (*head, loss, Span(" " * _SUM), *_cost_spans(score, view))


def _mark_spans(mark: str, ink: Ink, score: LayerScore) -> tuple[Span, ...]:
    if score.does_not_pay:
        return (Span(f" {mark}", ink), Span(NO_GAIN_MARK, "warn"))
    return (Span(f" {mark} ", ink),)


def _cost_spans(score: LayerScore, view: ProfileView) -> tuple[Span, Span]:
    total = sum(other.layer.flops for other in view.scores)
    share = score.layer.flops / total if total else 0.0
    return (
        Span(fit_right(psnr_text(score), _PSNR), "muted"),
        Span(fit_right(wording.share(share), _SHARE), "muted"),
    )


def _kept_order(score: LayerScore) -> tuple[bool, float]:
    return (score.loss is None, score.loss or 0.0)


def _name_width(view: ProfileView, width: int) -> int:
    return name_width((score.layer.fqn for score in view.scores), width, width - _FIXED)


def _name(score: LayerScore, view: ProfileView, width: int) -> str:
    return fit_middle(shown_name(score.layer.fqn, width), _name_width(view, width))
