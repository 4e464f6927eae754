"""Results as rich tables on stdout."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from rich.table import Table

from pixart_tui.cli.display.checks import check_lines
from pixart_tui.cli.display.generated import print_generation
from pixart_tui.cli.display.paths import relative
from pixart_tui.cli.display.profile_notes import profile_notes
from pixart_tui.cli.display.writing import console
from pixart_tui.domain.benchmarks.rows import BenchRow, describe_warmups
from pixart_tui.domain.events.roles import BESIDE, RESULTS, Role
from pixart_tui.domain.layers.latency import NO_GAIN_MARK
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.plain_text import last_state
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.profile import Conditions, Profile
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus, noise_of, ranked
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.reporting.bench_table import bench_table, matrix_table
from pixart_tui.reporting.sample_notes import describe_method
from pixart_tui.reporting.score_text import is_imaged, psnr_text, rank_text
from pixart_tui.runs.run import Run, RunState

_SHOWN_LAYERS: Final = 12


def print_outcome(run: Run) -> None:
    """Prints the result of a run so far, and the files that it wrote."""
    _print_profile_run(run)
    _print_bench_run(run)
    if run.record is not None and isinstance(run.record.request, GenerateRequest):
        print_generation(run, run.record.request)
    if run.snapshot.verification.result is not None:
        from pixart_tui.cli.display.selections import print_verification

        verified = run.snapshot.verification.result
        print_verification(verified.selection, verified.verification)
    if run.snapshot.comparison.pairs:
        from pixart_tui.cli.display.comparisons import print_comparison

        print_comparison(run)
    for artifact in dict.fromkeys(a.path for a in run.snapshot.artifacts if a.role in _WRITTEN):
        console().print(f"wrote {relative(artifact)}", highlight=False, soft_wrap=True)


def _print_profile_run(run: Run) -> None:
    snapshot = run.snapshot
    if snapshot.profiling.measured or snapshot.profiling.samples:
        for profile in snapshot.profiling.profiles:
            print_profile(profile, snapshot.profiling.look)
    if snapshot.profiling.checked is not None:
        for line in check_lines(snapshot.profiling.checked):
            console().print(line, highlight=False, soft_wrap=True)


def _print_bench_run(run: Run) -> None:
    rows, plan = run.snapshot.benchmark.rows, run.snapshot.benchmark.plan
    if rows and plan:
        matrix = bool(run.record and getattr(run.record.request, "matrix", ""))
        print_bench(list(rows.values()), plan.machine, plan.versions, matrix=matrix)


_WRITTEN: Final = (RESULTS | BESIDE) - {Role.OUTPUT_IMAGE}
"""Files that a run names at its end; a generation names its image itself."""


def print_profile(profile: Profile, look: Look | None = None) -> None:
    """The most sensitive layers, and what their figures are to be compared with.

    Args:
        profile: The profile.
        look: The last decision of the adjoint method.
    """
    effects = profile.effect_statistics()
    scores = profile.scores(effects)
    order = ranked(scores)
    conditions = profile.conditions
    title = f"{conditions.model}, {conditions.quant_type} ({conditions.execution})"
    table = Table(title=title, title_justify="left")
    imaged = any(is_imaged(score) for score in order)
    for heading in ("rank", "layer"):
        table.add_column(heading, justify="right" if heading == "rank" else "left")
    for heading in ("1-SSIM", "95% interval", *(("PSNR dB",) if imaged else ()), "FLOPs"):
        table.add_column(heading, justify="right", no_wrap=True)
    if profile.latencies:
        table.add_column("time", justify="right", no_wrap=True)
    total = sum(score.layer.flops for score in scores)
    for rank, score in enumerate(order[:_SHOWN_LAYERS], 1):
        cells = _score_cells(score, total, imaged=imaged)
        table.add_row(rank_text(rank, score), *cells, *_time_cells(score))
    console().print(table)
    notes = [*_footnotes(profile, scores, order), *profile_notes(profile, scores, effects, look)]
    for line in notes:
        console().print(line, highlight=False, soft_wrap=True)


def _score_cells(score: LayerScore, total_flops: int, *, imaged: bool) -> tuple[str, ...]:
    assert score.ssim is not None
    assert score.ssim_low is not None
    assert score.ssim_high is not None
    return (
        score.layer.fqn,
        f"{1 - score.ssim:.1e}",
        f"{1 - score.ssim_high:.1e} - {1 - score.ssim_low:.1e}",
        *((psnr_text(score),) if imaged else ()),
        f"{score.layer.flops / total_flops:.1%}",
    )


def _time_cells(score: LayerScore) -> tuple[str, ...]:
    """How much longer the layer takes quantized, marked where that saves nothing."""
    latency = score.latency_s
    if latency is None:
        return ()
    mark = f"{NO_GAIN_MARK} " if score.no_speedup else ""
    return (f"{mark}{-latency.saved / latency.unquantized:+.0%}",)


def _footnotes(
    profile: Profile, scores: Sequence[LayerScore], order: Sequence[LayerScore]
) -> list[str]:
    floor, noise = profile.deployment_floor, noise_of(scores)
    dtype = profile.conditions.floor_dtype
    hidden = max(len(order) - _SHOWN_LAYERS, 0)
    excluded = [s for s in scores if s.status is LayerStatus.EXCLUDED]
    broken = [s for s in scores if s.status is LayerStatus.NOT_FINITE]
    idle = [s for s in scores if s.no_speedup]
    notes = (
        (True, describe_method(profile.conditions)),
        (profile.conditions.lora, _lora(profile.conditions.lora)),
        (hidden, f"and {hidden} less sensitive layers"),
        (
            floor is not None,
            f"bf16 floor ({dtype}): {floor or 0:.1e}",
        ),
        (dtype is None, _no_floor(profile.conditions)),
        (noise is not None, f"measurement noise (median spread): {noise or 0:.1e}"),
        (excluded, f"excluded by the kernels' rules: {len(excluded)} layers"),
        (idle, f"{NO_GAIN_MARK} layers that quantizing makes no faster: {len(idle)}"),
        (broken, f"gave NaN: {', '.join(s.layer.fqn for s in broken)}"),
    )
    return [text for shown, text in notes if shown]


def _lora(lora: Lora | None) -> str:
    return f"LoRA: {lora.whole_words}" if lora else ""


def _no_floor(conditions: Conditions) -> str:
    return f"bf16 floor: not measured, the baseline is {conditions.baseline_dtype} itself"


def print_bench(
    rows: Sequence[BenchRow], machine: Machine, versions: Versions, *, matrix: bool = False
) -> None:
    """OneDiff's table: cases side by side, or those of a matrix below each other."""
    cells = matrix_table(rows) if matrix else bench_table(rows)
    case = rows[0].case
    title = f"{case.model} {case.width}x{case.height}, {case.steps} steps; {machine.summary}"
    table = Table(title=f"{title}; torch {versions.get('torch', '?')}", title_justify="left")
    table.add_column("", no_wrap=matrix)
    for column in cells.columns:
        table.add_column(column, justify="right", overflow="fold")
    for label, line in cells.lines:
        table.add_row(label, *line)
    console().print(table)
    for row in rows:
        for made in describe_warmups(row):
            console().print(f"{row.label}: {made}", highlight=False)
        if row.error:
            console().print(f"{row.label} failed: {row.error}", highlight=False)
        elif row.case.is_simulated:
            console().print(f"{row.label}: simulated, {row.execution_note}", highlight=False)
    if case.lora:
        console().print(_lora(case.lora), highlight=False, soft_wrap=True)


def print_runs(runs: Sequence[Run]) -> None:
    """All runs, newest first."""
    table = Table()
    for heading in ("id", "kind", "state", "model", "progress", "age", "output"):
        table.add_column(heading, no_wrap=heading in ("id", "kind", "state", "progress", "age"))
    for run in runs:
        request = run.record.request if run.record else None
        table.add_row(
            run.id,
            request.kind if request else "?",
            "stopped" if run.stopped_worker() else str(run.state()),
            request.model_words if request else run.problem,
            f"{run.snapshot.done}/{run.snapshot.total}" if run.snapshot.total else "-",
            _age(time.time() - run.created_s),
            _outcome(run),
        )
    console().print(table)


def _outcome(run: Run) -> str:
    """Why there is no output, else where it is or will be."""
    if run.damage:
        return run.damage
    trouble = run.trouble() if run.state() in (RunState.FAILED, RunState.STALE) else None
    if trouble is not None and run.record is not None:
        return last_state(f"{trouble.title}: {trouble.cause}" if trouble.cause else trouble.title)
    if note := run.stopped_note:
        return note
    request = run.record.request if run.record else None
    return relative(request.output) if request and request.output else ""


def _age(seconds: float) -> str:
    for unit, length_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
