"""Builds the content of a report, in words that HTML and Markdown share."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pixart_tui.domain.benchmarks.rows import RowCase
from pixart_tui.domain.files.sidecar import SampleRecord
from pixart_tui.domain.layers.roles import is_attention
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus, ranked
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.selecting.pareto import Curve
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import JointLoss, Verification
from pixart_tui.reporting.bench_table import BenchTable
from pixart_tui.reporting.look_text import describe_look
from pixart_tui.reporting.sample_notes import sample_notes
from pixart_tui.reporting.score_text import is_imaged, psnr_text, rank_text
from pixart_tui.reporting.selection_text import bound_text, kept_text
from pixart_tui.reporting.step_shares import StepShares

_PACKAGES = ("torch", "diffusers", "transformers", "torchao", "triton", "python", "pixart-tui")

_LAYERS_BY_STEP = 5

_RANKED_HEADINGS = ("rank", "layer", "1-SSIM", "95% interval", "PSNR dB", "FLOPs", "time")


@dataclass(frozen=True, slots=True)
class Picture:
    """An image that a run kept.

    Attributes:
        prompt: Its prompt, user text.
        seed: Its seed.
        caption: What it is: ``baseline``, a layer, a bench row.
        data: The file's bytes.
        media_type: ``image/png`` or ``image/webp``.
    """

    prompt: str
    seed: int | None
    caption: str
    data: bytes
    media_type: str = "image/png"


@dataclass(frozen=True, slots=True)
class Measured:
    """A profile of one quant type.

    Attributes:
        profile: The profile.
        curve: Its predicted curve; None while too little is measured.
        samples: What the adjoint method found of each sample.
        look: Its last decision.
        steps: The part of each step in the layers' effects; None where that was not measured.
    """

    profile: Profile
    curve: Curve | None = None
    samples: tuple[SampleRecord, ...] = ()
    look: Look | None = None
    steps: StepShares | None = None

    @property
    def quant_type(self) -> str:
        """The quant type."""
        return self.profile.conditions.quant_type


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that a report shows; what a run does not have is None or empty.

    Attributes:
        title: One line.
        run: The run's id, or a file's name.
        command: How it was made, as far as it is known.
        date: Day and time.
        machine: Where.
        versions: With what.
        conditions: What a profile was measured on.
        measured: What was measured under each quant type.
        selection: A verified selection.
        verification: How it was verified.
        bench: A benchmark's table.
        bench_notes: What a benchmark's rows have to say besides.
        bench_case: The case of one of its rows, for the conditions that all of them share.
        pictures: Images, in the order of being made.
    """

    title: str
    run: str
    command: str = ""
    date: str = ""
    machine: Machine | None = None
    versions: Versions | None = None
    conditions: Conditions | None = None
    measured: tuple[Measured, ...] = ()
    selection: Selection | None = None
    verification: Verification | None = None
    bench: BenchTable | None = None
    bench_notes: tuple[str, ...] = ()
    bench_case: RowCase | None = None
    pictures: tuple[Picture, ...] = ()


def provenance(report: Report) -> Iterator[tuple[str, str]]:
    """Where the figures come from: labels and values."""
    yield "run", report.run
    if report.date:
        yield "date", report.date
    if report.command:
        yield "command", report.command
    if report.machine:
        yield "machine", f"{report.machine.summary}; {report.machine.os}"
    if report.versions:
        known = report.versions
        yield "versions", ", ".join(f"{x} {known[x]}" for x in _PACKAGES if x in known)
    if report.conditions:
        yield from _conditions(report.conditions, [x.quant_type for x in report.measured])
    if report.bench_case:
        yield from _shared(report.bench_case)


def _shared(case: RowCase) -> Iterator[tuple[str, str]]:
    yield "model", case.model
    yield from _weights(case.variant, case.lora)
    yield "fingerprint", case.model_fingerprint
    yield (
        "images",
        f"{case.width} x {case.height}, {case.steps} steps, guidance {case.guidance_scale:g}, "
        f"seed {case.seed}",
    )
    yield "prompt", case.prompt


def _weights(variant: str, lora: Lora | None) -> Iterator[tuple[str, str]]:
    if variant:
        yield "variant", variant
    if lora is not None:
        yield "LoRA", lora.whole_words


def headings(report: Report, heading: str) -> Iterator[tuple[str, Measured]]:
    """A heading for each quant type, which names it where there are several."""
    several = len(report.measured) > 1
    for found in report.measured:
        yield f"{heading}: {found.quant_type}" if several else heading, found


def _conditions(found: Conditions, quant_types: Sequence[str]) -> Iterator[tuple[str, str]]:
    yield "model", f"{found.model} ({found.family})"
    yield from _weights(found.variant, found.lora)
    yield "fingerprint", found.model_fingerprint
    types = ", ".join(quant_types or [found.quant_type])
    yield "quant type", f"{types}, {found.execution}; baseline {found.baseline_dtype}"
    draws = f", {found.draws} draws" if found.method == "adjoint" else ""
    yield "method", f"{found.method}{draws}"
    images = len(found.prompts) * len(found.seeds)
    yield (
        "images",
        f"{images} of {found.width} x {found.height}, {_steps(found)}, "
        f"guidance {found.guidance_scale:g}, seeds {', '.join(map(str, found.seeds))}",
    )
    yield "prompts", "; ".join(found.prompts)


def _steps(found: Conditions) -> str:
    at = f" at {', '.join(map(str, found.timesteps))}" if found.timesteps else ""
    calls = f" in {found.calls} transformer calls" if found.num_calls else ""
    return f"{found.num_inference_steps} steps{at}{calls}"


def profile_notes(found: Measured) -> Iterator[str]:
    """Yields the figures to compare a profile's losses with."""
    profile = found.profile
    scores = profile.scores()
    if found.look is not None:
        yield describe_look(found.look, profile.conditions.samples, found.quant_type)
    yield from sample_notes(profile, found.samples)
    if profile.deployment_floor is not None:
        yield (
            f"bf16 floor ({profile.conditions.floor_dtype}, nothing quantized): "
            f"{profile.deployment_floor:.1e}"
        )
    if profile.measurement_noise is not None:
        yield f"measurement noise (median spread): {profile.measurement_noise:.1e}"
    if any(score.tied for score in scores):
        yield "= marks ranks that the measurement cannot tell apart"
    excluded = [score for score in scores if score.status is LayerStatus.EXCLUDED]
    if excluded:
        yield f"excluded by the kernels' rules: {len(excluded)} layers ({excluded[0].reason})"
    broken = [score for score in scores if score.status is LayerStatus.NOT_FINITE]
    if broken:
        yield f"gave NaN: {', '.join(score.layer.fqn for score in broken)}"


def ranked_table(profile: Profile) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headings and rows of the ranked table, most sensitive first.

    PSNR stands in it where images were made, and time where it is known.
    """
    scores = profile.scores()
    total = sum(score.layer.flops for score in scores)
    rows = [_cells(place, score, total) for place, score in enumerate(ranked(scores), 1)]
    left_out = set() if any(is_imaged(score) for score in scores) else {"PSNR dB"}
    left_out |= set() if profile.latencies else {"time"}
    shown = [place for place, name in enumerate(_RANKED_HEADINGS) if name not in left_out]

    def of(row: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(row[place] for place in shown)

    return of(_RANKED_HEADINGS), [of(row) for row in rows]


def _cells(place: int, score: LayerScore, total_flops: int) -> tuple[str, ...]:
    assert score.loss is not None
    low, high = score.ssim_low, score.ssim_high
    interval = "-" if low is None or high is None else f"{1 - high:.1e} to {1 - low:.1e}"
    latency = score.latency_s
    saved = "-" if latency is None else f"{-latency.saved / latency.unquantized:+.0%}"
    return (
        rank_text(place, score),
        score.layer.fqn,
        f"{score.loss:.1e}",
        interval,
        psnr_text(score),
        f"{score.layer.flops / total_flops:.1%}",
        saved,
    )


def step_table(
    profile: Profile, steps: StepShares
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """The headings and rows of the effect by step: all layers, and the most sensitive ones."""
    order = ranked(profile.scores())[:_LAYERS_BY_STEP]
    numbers = tuple(str(number) for number in range(1, len(steps.together) + 1))
    rows = [(name, *cells) for name, cells in steps.rows([x.layer.fqn for x in order])]
    return (f"{steps.call_name}, %", *numbers), rows


def verification_lines(selection: Selection, found: Verification) -> Iterator[str]:
    """Yields the selection and its measured loss."""
    targets = (*selection.chosen, *selection.kept)
    blocks = sum(map(is_attention, targets))
    yield (
        f"{selection.rule} {selection.parameter:g}: {len(selection.layers)} of "
        f"{len(targets) - blocks} layers, {selection.flops_share:.1%} of the linear FLOPs, in "
        f"{', '.join(selection.layer_types)}"
    )
    if selection.attention_share is not None:
        yield f"attention in fp8: {len(selection.attention)} of {blocks} blocks"
    if selection.kept_steps:
        yield kept_text(selection)
    yield f"verified 1-SSIM on other prompts and seeds: {_loss(found.verified)}"
    yield f"predicted: {found.predicted:.2e}{bound_text(selection)}"
    yield f"on the repair set: {_loss(found.repair)}"
    if found.every_step is not None and found.every_step.measured is not None:
        yield f"the same layers at every step: {_loss(found.every_step.measured)}"
    if found.onediff_rule is not None and found.onediff_rule.measured is not None:
        yield f"OneDiff's rule at that share of FLOPs: {_loss(found.onediff_rule.measured)}"
    if found.holds is not None:
        yield f"the budget of {found.budget:g} {'holds' if found.holds else 'does not hold'}"


def _loss(measured: JointLoss) -> str:
    return f"{measured.loss:.2e} ({measured.low:.2e} to {measured.high:.2e})"


def decade(score: LayerScore | None) -> str:
    """One character for a layer: n for 1-SSIM of 1e-n to 10e-n, or why there is no figure."""
    if score is None:
        return ""
    if score.status is LayerStatus.EXCLUDED:
        return "x"
    if score.status is LayerStatus.NOT_FINITE:
        return "!"
    if score.loss is None:
        return "·"
    if score.loss <= 0:
        return "9"
    return str(min(max(-math.floor(math.log10(score.loss)), 1), 9))


DECADE_LEGEND = (
    "A digit n stands for 1-SSIM of 10^-n or a few times that: the smaller the digit, the more "
    "sensitive the layer; x is excluded by the kernels' rules, ! gave NaN, · is not measured."
)


def in_blocks(
    profile: Profile,
) -> tuple[list[str], dict[int, dict[str, LayerScore]], list[LayerScore]]:
    """The kinds of layer within blocks, the scores by block and kind, and those outside."""
    scores = profile.scores()
    blocks: dict[int, dict[str, LayerScore]] = {}
    for score in scores:
        if score.layer.block is not None:
            blocks.setdefault(score.layer.block, {})[score.layer.kind] = score
    kinds = list(dict.fromkeys(kind for found in blocks.values() for kind in found))
    outside = [score for score in scores if score.layer.block is None]
    return kinds, dict(sorted(blocks.items())), outside
