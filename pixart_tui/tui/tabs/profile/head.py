"""The head of a profile: its state, its reference lines, and what the marks mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from textwrap import wrap
from typing import Final

from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.reporting.look_text import describe_look
from pixart_tui.reporting.sample_notes import (
    describe_method,
    diverging,
    diverging_note,
    nonlinear_note,
    nonlinear_part,
    out_of_range,
    out_of_range_note,
)
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.gauge_lines import gauges_line
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, line, printable, spread
from pixart_tui.tui.state.overview import Figures, ProfileView
from pixart_tui.tui.tabs.run_head import outcome_lines, progress_line, state_line

_PROMPT_MOST: Final = 30
_SAMPLES_NAMED: Final = 2
"""Samples out of the linear range that have a line each; all of them stand in a layer's details."""


def head_lines(view: ProfileView, width: int) -> list[Line]:
    """State, progress, stage or outcome, and what the figures are to be compared with."""
    lines = [state_line(view.run, _facts(view), width)]
    lines.append(progress_line(view.run, view.run.unit, width))
    if view.live is not None and view.live.gauges is not None:
        lines.append(gauges_line(view.live, width))
    warnings = [f"! {view.memory}"] if view.memory else []
    if view.shown is not None:
        warnings += _sample_warnings(view.shown)
    lines += _wrapped(warnings, "warn", width)
    lines += outcome_lines(view.run, width)
    if view.shown is not None:
        lines += [_reference_line(view, view.shown.profile, width)]
        lines += _wrapped(_found(view, view.shown), "muted", width)
        lines += _time_lines(view, width)
    return lines


def _wrapped(texts: Iterable[str], cell_style: CellStyle, width: int) -> Iterator[Line]:
    """Each text over as many lines as it needs."""
    for text in texts:
        for part in wrap(printable(text), width - 2):
            yield line(" ", Span(fit(part, width - 2).rstrip(), cell_style))


def _facts(view: ProfileView) -> list[str]:
    """The quant type that is shown, which of how many it is, and how it is computed."""
    if view.profile is None:
        return []
    conditions, count = view.profile.conditions, len(view.figures)
    of = f" ({view.place + 1} of {count})" if count > 1 else ""
    return [f"{conditions.quant_type}{of}", conditions.execution]


def _reference_line(view: ProfileView, profile: Profile, width: int) -> Line:
    conditions = profile.conditions
    floor, noise = wording.loss(view.floor), wording.loss(view.noise)
    if conditions.floor_dtype is None:
        floor = "not measured"
    marked = [
        Span(f" {glyphs.FLOOR}", "floor"),
        Span(f" bf16 floor {floor}  ", "muted"),
    ]
    if conditions.method == "exhaustive":
        marked += [
            Span(f" {glyphs.NOISE}", "floor"),
            Span(f" measurement noise {noise}", "muted"),
        ]
    whole = (
        f"{describe_method(conditions)}, {wording.count(conditions.calls, conditions.call_name)} "
    )
    brief = whole.split(", ", 1)[1]
    pace = f"{view.images_per_s:.1f} images/s, " if view.images_per_s else ""
    for text in (f"{pace}{whole}", f"{pace}{brief}", whole):
        tried = spread(marked, [Span(text, "muted")], width)
        if len(tried) > len(marked):
            return tried
    return spread(marked, [Span(brief, "muted")], width)


def _found(view: ProfileView, shown: Figures) -> Iterator[str]:
    """The LoRA, the last look at the cut, and how much of the joint loss the effects explain."""
    if (lora := shown.profile.conditions.lora) is not None:
        yield f"LoRA {lora.whole_words}"
    if view.look is not None:
        yield describe_look(view.look, shown.profile.conditions.samples, shown.quant_type)
    if (nonlinear := nonlinear_part(shown.samples)) is not None:
        yield nonlinear_note(nonlinear)


def _time_lines(view: ProfileView, width: int) -> Iterator[Line]:
    """The measured time of all linear layers, where they were timed."""
    timed = [score.latency_s for score in view.scores if score.latency_s is not None]
    if not timed:
        return
    total_ms = 1000 * sum(latency.unquantized for latency in timed)
    idle = sum(score.no_speedup for score in view.scores)
    mark = f"   {NO_GAIN_MARK} no faster quantized: {wording.count(idle, 'layer')}" if idle else ""
    yield line(Span(fit(f" linear layers {total_ms:.3f} ms a step{mark}", width), "muted"))


def _sample_warnings(shown: Figures) -> Iterator[str]:
    """Samples that count less than the others, and prompts that outweigh them."""
    outside = out_of_range(shown.samples)
    for sample in outside[:_SAMPLES_NAMED]:
        prompt = _brief(sample.prompt)
        yield out_of_range_note(sample.replace(prompt=prompt))
    if (rest := len(outside) - _SAMPLES_NAMED) > 0:
        yield f"! {wording.count(rest, 'more sample')} out of the linear range"
    for prompt in diverging(shown.profile, shown.samples):
        yield diverging_note(_brief(prompt))


def _brief(prompt: str) -> str:
    return fit(printable(prompt), _PROMPT_MOST).rstrip()
