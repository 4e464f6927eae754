"""Draws the head of the Select tab: the rule, its setting and the outcome."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.layers.steps import spell_numbers
from pixart_tui.domain.profiles.score import LayerStatus
from pixart_tui.domain.selecting.rules import RULES
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import Verification
from pixart_tui.reporting.selection_text import given_up, there_text
from pixart_tui.runs.run import RunState
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.lines import (
    CellStyle,
    Line,
    Span,
    fit,
    fit_right,
    line,
    printable,
    progress_bar,
)
from pixart_tui.tui.state.overview import ProfileView, VerifyView
from pixart_tui.tui.tabs.run_head import state_line
from pixart_tui.tui.tabs.select.rule_setting import RuleSetting, is_offered
from pixart_tui.tui.tabs.select.solving import Answer

_NAMED_TYPES: Final = 2
_NOT_VERIFIED: Final = ("   not verified: v measures all of them at once", "   not verified")


def head_lines(
    view: ProfileView,
    rule_setting: RuleSetting,
    answer: Answer | None,
    verify: VerifyView | None,
    width: int,
    *,
    choose_steps: bool = False,
) -> list[Line]:
    """The profile, the rule, its parameter, and the outcome.

    Args:
        view: The profile.
        rule_setting: What is asked.
        answer: What came of it, None while it is solved.
        verify: The verification of this profile's selection, None without one.
        width: Terminal cells of a line.
        choose_steps: Whether steps are chosen too.
    """
    lines = [state_line(view.run, [types_text(view)], width)]
    lines += [_rule_line(view, rule_setting, choose_steps=choose_steps)]
    lines += [_setting_line(rule_setting, width), _outcome_line(view, answer, width)]
    lines += [*_step_lines(view, answer, width), *_time_lines(answer, width)]
    lines += [*_loss_lines(answer, verify, rule_setting, width), *_verifying_lines(verify, width)]
    return [*lines, *_unfinished_lines(view, width)]


def is_timed(view: ProfileView) -> bool:
    """Whether the profile holds the time of its layers, under every quant type."""
    return bool(view.figures) and all(x.profile.latencies for x in view.figures)


def is_mixed(view: ProfileView) -> bool:
    """Whether layers may get one of several quant types."""
    return len(set(view.quant_types) - {FP8_ATTENTION}) > 1


def types_text(view: ProfileView) -> str:
    """The quant types that are chosen from; how many where their names have no room."""
    types = view.quant_types
    return " + ".join(types) if len(types) <= _NAMED_TYPES else f"{len(types)} quant types"


def _rule_line(view: ProfileView, rule_setting: RuleSetting, *, choose_steps: bool) -> Line:
    spans = [Span(" rule    ", "muted")]
    for rule in RULES:
        offered = is_offered(rule, timed=is_timed(view), mixed=leaves_out_count(view, choose_steps))
        if not offered and rule != rule_setting.rule:
            continue
        spans.append(
            Span(f" {RULES[rule].title} ", "active" if rule == rule_setting.rule else "muted")
        )
    if choose_steps:
        spans.append(Span("  + steps", "live"))
    return tuple(spans)


def leaves_out_count(view: ProfileView, choose_steps: bool) -> bool:
    """Whether OneDiff's rule is left out: it chooses among layers of one type, at every step."""
    return choose_steps or is_mixed(view)


def _setting_line(rule_setting: RuleSetting, width: int) -> Line:
    bar = progress_bar(rule_setting.fraction, width - 24)
    return (
        Span(f" {glyphs.LEFT}  {glyphs.RIGHT}   ", "muted"),
        Span(fit_right(rule_setting.text, 9), "title"),
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
        Span(f" {len(selection.layers)} of {len(view.scores)} layers", "title"),
        Span(f"   {wording.share(selection.flops_share)} of FLOPs", "title"),
        *_attention_spans(selection),
    )


def _step_lines(view: ProfileView, answer: Answer | None, width: int) -> Iterator[Line]:
    """Which steps are kept, what is quantized there too, and what that gives up."""
    selection = answer.selection if answer else None
    if answer is None or selection is None or not answer.question.choose_steps:
        return
    conditions = view.profile.conditions if view.profile else None
    name, calls = (conditions.call_name, conditions.calls) if conditions else ("step", 0)
    if not selection.kept_steps:
        text = f" no {name} is kept: all {calls} are quantized"
        yield line(Span(fit(text, width).rstrip(), "title"))
        return
    numbers = [index + 1 for index in selection.kept_steps.kept(calls)]
    kept = f"{name}{'s' * (len(numbers) > 1)} {spell_numbers(numbers)} of {calls}"
    text = f" keeps {kept}; {there_text(selection)}"
    given_up_s = given_up(selection)
    more = "" if given_up_s is None else f"; {1000 * given_up_s:.3f} ms a {name} given up"
    yield line(Span(fit(text, min(len(text), width)), "title"), _muted(more, width - len(text)))


def _muted(text: str, room: int) -> Span:
    """Returns muted text; empty where it has no room."""
    return Span(text if len(text) <= room else "", "muted")


def _attention_spans(selection: Selection) -> list[Span]:
    if not selection.attention:
        return []
    return [
        Span(f"   fp8 attention in {wording.count(len(selection.attention), 'block')}", "title")
    ]


def _loss_lines(
    answer: Answer | None, verify: VerifyView | None, rule_setting: RuleSetting, width: int
) -> Iterator[Line]:
    """Yields the predicted and the verified loss."""
    selection = answer.selection if answer else None
    if selection is None:
        return
    predicted = f" 1-SSIM  predicted {wording.loss(selection.predicted_loss)}"
    if selection.predicted_low is not None and selection.predicted_high is not None:
        ends = f"{wording.loss(selection.predicted_low)}-{wording.loss(selection.predicted_high)}"
        predicted += f" (95% {ends})"
    found = verify.verification if verify else None
    if verify is None or found is None:
        room = width - len(predicted)
        told = next((x for x in _NOT_VERIFIED if len(x) <= room), _NOT_VERIFIED[-1])
        yield line(Span(predicted, "title"), Span(fit(told, room), "warn"))
        return
    loss = found.verified
    interval = f"({wording.loss(loss.low)}-{wording.loss(loss.high)}, {loss.images} images)"
    good: CellStyle = "good" if found.holds is not False else "bad"
    verified = f"   verified {wording.loss(loss.loss)}"
    rest = fit(f" {interval}", max(width - len(predicted) - len(verified), 0))
    yield line(Span(predicted, "title"), Span(verified, good), Span(rest, "muted"))
    yield _verified_line(verify, found, rule_setting, width)


def _verified_line(
    verify: VerifyView, found: Verification, rule_setting: RuleSetting, width: int
) -> Line:
    """Describes the images of the verified loss."""
    parts, kept = [], verify.selection
    if kept is not None:
        other = (kept.rule, kept.parameter) != (rule_setting.rule, rule_setting.parameter)
        whose = f"{RULES[kept.rule].title} {kept.parameter:g}, {len(kept.chosen)} layers"
        if kept.kept_steps:
            whose += f", steps kept: {kept.kept_steps.words}"
        parts.append(f"verified before: {whose}" if other else f"verified: {whose}")
    if found.holds is not None:
        parts.append(f"budget {found.budget:g} {'holds' if found.holds else 'does not hold'}")
    if found.onediff_rule is not None:
        parts.append(f"top percentage {wording.loss(found.onediff_rule.loss)}")
    return line(Span(fit(" " + "  ".join(parts), width).rstrip(), "muted"))


def _time_lines(answer: Answer | None, width: int) -> Iterator[Line]:
    """The selection's part of the time, and how many chosen layers get no faster."""
    selection = answer.selection if answer else None
    if selection is None or selection.time_share is None:
        return
    saved_ms = 1000 * (selection.predicted_time_saved_s or 0.0)
    share = wording.share(selection.time_share)
    idle = len(set(selection.chosen) & set(selection.no_speedup or ()))
    effect = "saved" if saved_ms >= 0 else "lost"
    text = f" {share} of linear time   {abs(saved_ms):.3f} ms a step {effect}"
    mark = f"   {NO_GAIN_MARK} no faster: {idle}" if idle else ""
    yield line(Span(text, "title"), Span(fit(mark, max(width - len(text), 0)), "warn"))


def _unfinished_lines(view: ProfileView, width: int) -> list[Line]:
    run, pending = view.run, sum(s.status is LayerStatus.PENDING for s in view.scores)
    left = f"{wording.count(pending, 'layer')} not measured yet" if pending else ""
    if run.unit == "samples" and run.state is not RunState.DONE and view.scores:
        left = f"{run.done} of {run.total} samples measured"
    text = f" ! {left}: to be saved once the profile is done"
    return [line(Span(fit(text, width), "warn"))] if left else []


def _verifying_lines(verify: VerifyView | None, width: int) -> Iterator[Line]:
    """Where a verification is that has found nothing yet."""
    if verify is None or verify.verification is not None:
        return
    run = verify.run
    amount = f"{run.done} of {run.total}  " if run.total else ""
    told = f" verifying  {run.state}  {amount}{run.stage} {printable(run.stage_detail)}"
    yield line(Span(fit(told, width), "live"))
