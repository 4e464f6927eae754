"""Everything that is known of one layer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, repeat
from textwrap import wrap
from typing import Final

from pixart_tui.domain.measurements import Measurement
from pixart_tui.domain.probing import Probing
from pixart_tui.domain.profile import LayerScore, LayerStatus, Profile
from pixart_tui.domain.score_text import ESTIMATE_MARK, estimate_mark, psnr_text
from pixart_tui.tui import glyphs, wording
from pixart_tui.tui.lines import Ink, Line, Span, fit, fit_right, line, printable, wrap_path
from pixart_tui.tui.profile_tab.facts import Facts
from pixart_tui.tui.profile_tab.table import interval_text

_LABEL: Final = 10
_COLUMNS: Final = {"seed": 8, "1-SSIM": 12, "PSNR": 12, "latent MSE": 12}
"""Of each prompt and seed, with their cells."""
_PROMPT_LEAST: Final = 12
_PROMPT_MOST: Final = 60


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
    yield f"1-SSIM {estimate_mark(score)}{wording.loss(score.loss)}"
    yield f"({interval_text(score)})"
    yield share
    if score.latency_s is not None:
        yield f"saves {1000 * score.latency_s.saved:.4f} ms"
    yield f"{score.loss / facts.scale.reference:.3g}x the {facts.scale.name}"
    yield f"{_evidence(score)}"


def detail_lines(score: LayerScore, facts: Facts, width: int) -> list[Line]:
    """A layer's figures, then those of each prompt and seed, and of each step."""
    profile = facts.view.profile
    name = wrap_path(score.layer.fqn, width - 1)
    lines = [line(Span(f" {part}", "title")) for part in name]
    for label, text in _figures(score, facts):
        lines += _labelled(label, text, width)
    if profile is not None:
        lines += [line(), *_sample_lines(score, profile, width)]
        lines += _step_lines(score, profile.probing, width)
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
        loss = f"{estimate_mark(score)}{wording.loss(score.loss)}  95% {interval_text(score)}"
        yield "1-SSIM", loss
        yield "", f"{score.loss / facts.scale.reference:.3g} times the {facts.scale.name}"
        yield "known by", _evidence(score)
        yield "PSNR", f"{psnr_text(score)} dB" if score.psnr_db is not None else psnr_text(score)
    bias = "bias" if layer.has_bias else "no bias"
    yield "shape", f"{layer.in_features} to {layer.out_features}, {bias}, {layer.rows} rows a step"
    yield "FLOPs", f"{wording.share(facts.share(score))} of all, {layer.flops / 1e9:.4g} G a step"
    yield from _times(score, facts)


def _status(score: LayerScore, facts: Facts) -> str:
    if score.layer.fqn == facts.now:
        return "being measured"
    if score.status is LayerStatus.EXCLUDED:
        return f"excluded: {score.reason}"
    if score.status is LayerStatus.NOT_FINITE:
        return "NaN or infinity in the image: keep this layer"
    if score.layer.fqn in facts.probed:
        return "probed; images to come turn its error into a loss"
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
    if score.estimated:
        return f"estimate; {score.imaged} of {score.samples} images made"
    return f"measured on {wording.count(score.samples, 'image')}"


def _times(score: LayerScore, facts: Facts) -> Iterator[tuple[str, str]]:
    latency = score.latency_s
    if latency is None or facts.view.profile is None:
        return
    yield "bfloat16", f"{1000 * latency.unquantized:.4f} ms a step"
    if latency.quantized is None:
        yield "quantized", latency.reason
        return
    saved = f"saves {1000 * latency.saved:.4f} of it, uncertain by {1000 * latency.noise:.4f}"
    pays = saved if latency.pays else f"{saved}: no faster"
    yield "quantized", f"{1000 * latency.quantized:.4f} ms, {pays}"
    yield "", facts.view.profile.conditions.quant_type


def _sample_lines(score: LayerScore, profile: Profile, width: int) -> Iterator[Line]:
    """Each prompt and seed: what its image says, or what was estimated without one."""
    found = {(m.prompt, m.seed): m for m in _measurements(profile, score.layer.fqn)}
    scores = _latent_scores(profile.probing, score.layer.fqn)
    conditions = profile.conditions
    columns = _columns_within(width, several_seeds=len(conditions.seeds) > 1)
    rest = width - 2 - sum(_COLUMNS[column] for column in columns)
    room = min(max(rest, _PROMPT_LEAST), _PROMPT_MOST)
    head = "".join(fit_right(column, _COLUMNS[column]) for column in columns)
    yield line(Span(fit(fit(" prompt", room + 1) + head, width).rstrip(), "head"))
    for seed in conditions.seeds:
        for prompt in conditions.prompts:
            key = (prompt, seed)
            figures, ink = _sample_figures(found.get(key), scores.get(key))
            told = dict(zip(_COLUMNS, (str(seed), *figures), strict=True))
            text = f" {fit(printable(prompt), room)}"
            text += "".join(fit_right(told[column], _COLUMNS[column]) for column in columns)
            yield line(Span(fit(text, width).rstrip(), ink))


def _columns_within(width: int, *, several_seeds: bool) -> list[str]:
    """The columns that leave room for the prompts, the important ones first to be kept."""
    wanted = ("1-SSIM", "PSNR", "latent MSE", "seed")
    kept: set[str] = set()
    left = width - 2 - _PROMPT_LEAST
    for column in ("seed", *wanted) if several_seeds else wanted:
        if column not in kept and _COLUMNS[column] <= left:
            kept.add(column)
            left -= _COLUMNS[column]
    return [column for column in _COLUMNS if column in kept]


def _measurements(profile: Profile, fqn: str) -> Iterator[Measurement]:
    return (m for m in profile.measurements if m.layer == fqn)


def _sample_figures(
    found: Measurement | None, latent: float | None
) -> tuple[tuple[str, str, str], Ink]:
    if found is None:
        guess = f"{ESTIMATE_MARK}{latent:.2e}" if latent is not None else "-"
        return ("no image", "-", guess), "muted"
    if not found.finite:
        return ("NaN", "NaN", "NaN"), "bad"
    psnr = f"{found.psnr_db:.1f}" if found.psnr_db is not None else "equal"
    mse = f"{found.latent_mse:.2e}" if found.latent_mse is not None else "-"
    return (wording.loss(found.loss), psnr, mse), "text"


def _latent_scores(probing: Probing | None, fqn: str) -> dict[tuple[str, int], float]:
    if probing is None or not _probed(probing, fqn):
        return {}
    # numpy is loaded when it is needed: a viewer paints before.
    from pixart_tui.domain.estimation import score_by_sample

    return dict(zip(probing.samples, map(float, score_by_sample(probing, fqn)), strict=True))


def _probed(probing: Probing, fqn: str) -> bool:
    errors = probing.errors.get(fqn)
    return errors is not None and None not in errors


def _step_lines(score: LayerScore, probing: Probing | None, width: int) -> Iterator[Line]:
    """The part that each denoising step has in what the layer does to the final latents."""
    if probing is None or not _probed(probing, score.layer.fqn):
        return
    from pixart_tui.domain.estimation import step_profile

    parts = [float(part) for part in step_profile(probing, score.layer.fqn)]
    probed = sorted({row.step for row in probing.rows})
    steps = ", ".join(str(step + 1) for step in probed)
    yield line()
    yield line(Span(fit(" effect on the final latents by denoising step", width), "head"))
    yield line(Span(fit(f" probed at {steps} of {len(parts)}, interpolated", width), "muted"))
    most = max(parts)
    yield _outline(parts, most, width)
    for step, part in enumerate(parts):
        yield _step_line(step, part, most, step in probed, width)


def _outline(parts: Sequence[float], most: float, width: int) -> Line:
    """All steps at a glance, and the one that matters most."""
    levels = "".join(glyphs.LEVELS[round(7 * part / most)] for part in parts)
    told = f"   most at step {parts.index(most) + 1}: {wording.share(most)}"
    shown = fit(f" {levels}", min(len(levels) + 1, width))
    return line(Span(shown, "live"), Span(fit(told, max(width - len(shown), 0)).rstrip(), "muted"))


def _step_line(step: int, part: float, most: float, probed: bool, width: int) -> Line:
    head = f" {step + 1:>4} {'' if probed else ESTIMATE_MARK:>1}{wording.share(part):>8} "
    bar = glyphs.BAR * round(max(width - len(head) - 1, 0) * part / most)
    return line(Span(head, "text" if probed else "muted"), Span(bar, "live"))
