"""Everything that is known of one layer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from textwrap import wrap
from typing import Final

from pixart_tui.domain.profiles.score import LayerScore, LayerStatus
from pixart_tui.reporting.score_text import is_imaged, psnr_text
from pixart_tui.tui.drawing import wording
from pixart_tui.tui.drawing.lines import Line, Span, fit, line, wrap_path
from pixart_tui.tui.tabs.profile.facts import Facts
from pixart_tui.tui.tabs.profile.samples import sample_lines
from pixart_tui.tui.tabs.profile.steps import step_lines
from pixart_tui.tui.tabs.profile.table import ends_text, interval_text

_LABEL: Final = 10


def cursor_line(score: LayerScore, facts: Facts, width: int) -> Line:
    """The layer under the cursor on one line: the more important, the further left."""
    head = f" {score.layer.fqn.removeprefix('transformer_blocks.')}"
    parts = [part for part in _cursor_parts(score, facts) if part]
    text = head
    for part in parts:
        if len(text) + 2 + len(part) <= width:
            text += f"  {part}"
    return line(Span(fit(head, min(len(head), width)), "title"), Span(text[len(head) :], "muted"))


def _cursor_parts(score: LayerScore, facts: Facts) -> Iterator[str]:
    share = f"{wording.share(facts.share(score))} of FLOPs"
    if score.loss is None:
        yield from (_status(score, facts), share)
        return
    yield f"rank {facts.rank(score)}"
    yield f"1-SSIM {wording.loss(score.loss)}"
    yield f"({interval_text(score)})"
    yield share
    if score.latency_s is not None:
        yield f"saves {1000 * score.latency_s.saved:.4f} ms"
    yield f"{score.loss / facts.scale.reference:.3g}x the {facts.scale.name}"
    yield _evidence(score)


def detail_lines(score: LayerScore, facts: Facts, width: int) -> list[Line]:
    """A layer's figures, then those of each prompt and seed, and of each step."""
    shown = facts.view.shown
    name = wrap_path(score.layer.fqn, width - 1)
    lines = [line(Span(f" {part}", "title")) for part in name]
    for label, text in _figures(score, facts):
        lines += _labelled(label, text, width)
    if shown is not None:
        lines += [line(), *sample_lines(shown, score.layer.fqn, width)]
        lines += step_lines(shown, score.layer.fqn, width)
    return lines


def _labelled(label: str, text: str, width: int) -> Iterator[Line]:
    """Over as many lines as it needs: beside a table there is little room."""
    labels = chain((label,), repeat(""))
    for name, part in zip(labels, wrap(text, max(width - _LABEL - 1, 1)), strict=False):
        yield line(Span(f" {name:<{_LABEL}}", "muted"), Span(part))


def _figures(score: LayerScore, facts: Facts) -> Iterator[tuple[str, str]]:
    layer = score.layer
    if score.loss is None:
        yield "status", _status(score, facts)
    else:
        yield "rank", _rank_words(score, facts)
        yield from _losses(score, score.loss, facts)
        yield "known by", _evidence(score)
        if is_imaged(score):
            psnr = psnr_text(score)
            yield "PSNR", f"{psnr} dB" if score.psnr_db is not None else psnr
    bias = "bias" if layer.has_bias else "no bias"
    yield "shape", f"{layer.in_features} to {layer.out_features}, {bias}, {layer.rows} rows a step"
    yield "FLOPs", f"{wording.share(facts.share(score))} of all, {layer.flops / 1e9:.4g} G a step"
    yield from _times(score, facts)


def _losses(score: LayerScore, loss: float, facts: Facts) -> Iterator[tuple[str, str]]:
    """The loss, and its 95% intervals: for the images that were measured, and for others."""
    times = f"{loss / facts.scale.reference:.3g} times the {facts.scale.name}"
    if score.these_low is None or score.these_high is None:
        yield "1-SSIM", f"{wording.loss(loss)}  95% {interval_text(score)}"
        yield "", times
        return
    yield "1-SSIM", f"{wording.loss(loss)}  {times}"
    yield "95%", f"{ends_text(score.these_low, score.these_high)} for these images"
    if (score.ssim_low, score.ssim_high) == (score.these_low, score.these_high):
        yield "", "one prompt tells nothing of other prompts"
    else:
        yield "", f"{interval_text(score)} for other prompts"


def _status(score: LayerScore, facts: Facts) -> str:
    if score.layer.fqn == facts.now:
        return "being measured"
    if score.status is LayerStatus.EXCLUDED:
        return f"excluded: {score.reason}"
    if score.status is LayerStatus.NOT_FINITE:
        return "NaN or infinity in the image: keep this layer"
    return "not measured yet"


def _rank_words(score: LayerScore, facts: Facts) -> str:
    text = f"{facts.rank(score)} of {len(facts.places)}, 1 is the most sensitive"
    if score.rank is None:
        return f"{text}; one image tells no luck from sensitivity"
    if not score.tied:
        return text
    tied = sum(other.tied_from == score.tied_from for other in facts.view.scores)
    return f"{facts.rank(score)} of {len(facts.places)}; not told apart: {tied} layers"


def _evidence(score: LayerScore) -> str:
    if score.degrees is None:
        return f"measured on {wording.count(score.samples, 'image')}"
    samples = wording.count(score.samples, "sample")
    return f"{samples}, worth {score.degrees:.0f} degrees of freedom"


def _times(score: LayerScore, facts: Facts) -> Iterator[tuple[str, str]]:
    latency = score.latency_s
    if latency is None or facts.view.profile is None:
        return
    yield "bfloat16", f"{1000 * latency.unquantized:.4f} ms a step"
    if latency.quantized is None:
        yield "quantized", latency.reason
        return
    saved = f"saves {1000 * latency.saved:.4f} of it, uncertain by {1000 * latency.noise:.4f}"
    pays = saved if latency.speeds_up else f"{saved}: no faster"
    yield "quantized", f"{1000 * latency.quantized:.4f} ms, {pays}"
    yield "", facts.view.profile.conditions.quant_type
