"""The head of a profile: its state, its reference lines, and what the marks mean."""

from __future__ import annotations

from collections.abc import Iterator

from pixart_tui.domain.forking import forking_prompts
from pixart_tui.domain.latency import NO_GAIN_MARK
from pixart_tui.domain.score_text import ESTIMATE_MARK, TIE_MARK
from pixart_tui.tui import glyphs, wording
from pixart_tui.tui.board import ProfileView
from pixart_tui.tui.gauge_lines import gauges_line
from pixart_tui.tui.lines import Line, Span, fit, line, printable, spread
from pixart_tui.tui.run_head import outcome_lines, progress_line, state_line


def head_lines(view: ProfileView, width: int) -> list[Line]:
    """State, progress, stage or outcome, and reference lines."""
    facts = []
    if view.profile is not None:
        conditions = view.profile.conditions
        facts = [conditions.quant_type, conditions.execution]
    lines = [state_line(view.run, facts, width), progress_line(view.run, "layers", width)]
    if view.live is not None and view.live.gauges is not None:
        lines.append(gauges_line(view.live, width))
    lines += [*_batch_lines(view, width), *_fork_lines(view, width)]
    lines += outcome_lines(view.run, width)
    if view.profile is not None:
        lines += [_reference_line(view, width), *_fast_line(view, width)]
        lines += _time_lines(view, width)
    return lines


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
    floor = view.profile.floor if view.profile is not None else ()
    if forking := forking_prompts(floor):
        named = ", ".join(f'"{printable(prompt)}"' for prompt in forking)
        text = f"! outweighs the other prompts, ranks are surer without it: {named}"
        yield line(" ", Span(fit(text, width - 2), "warn"))


def _fast_line(view: ProfileView, width: int) -> Iterator[Line]:
    """What the marks mean, and what the fast method cost."""
    estimated = sum(score.estimated for score in view.scores)
    if estimated and view.cost is not None:
        known = sum(score.ssim is not None for score in view.scores)
        marks = f" {ESTIMATE_MARK} estimated: {estimated} of {known}   {TIE_MARK} not told apart"
        text = f"{marks}   cost 1/{1 / view.cost.share:.1f} of exhaustive"
        yield line(Span(fit(text, width), "muted"))
