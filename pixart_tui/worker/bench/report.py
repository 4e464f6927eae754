"""The results of a benchmark as files: JSON to keep, Markdown to read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pixart_tui.domain.benchmarks.rows import BenchResult, BenchRow, RowStatus
from pixart_tui.domain.events import (
    ArtifactWritten,
    BenchFinished,
    BenchPlanned,
    Event,
    StageChanged,
)
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.files.bench_files import bench_companions
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.reporting.bench_table import table_of, to_markdown
from pixart_tui.reporting.markdown import code, escaped
from pixart_tui.runs.files import is_stream, remove_file, write_atomically, write_with_companion
from pixart_tui.runs.run import Run


def write_report(
    run: Run,
    request: BenchRequest,
    plan: BenchPlanned,
    rows: tuple[BenchRow, ...],
    emit: Callable[[Event], None],
) -> None:
    """Finishes a benchmark: the event with its result, and the files that were asked for.

    Raises:
        WorkError: The files cannot be written.
    """
    result = _result(request, plan, rows)
    emit(BenchFinished(result=result))
    if request.output is None:
        return
    output = run.paths.directory / request.output
    emit(StageChanged(stage=Stage.WRITING, detail=str(output)))
    markdown, partial = map(Path, bench_companions(output))
    text = result.model_dump_json(indent=1) + "\n"
    written = write_with_companion(output, text, markdown, render_markdown(result))
    if len(written) > 1:
        remove_file(partial)
    for path in written:
        emit(ArtifactWritten(role=Role.BENCH, path=str(path)))


def write_partial(
    run: Run, request: BenchRequest, plan: BenchPlanned, rows: tuple[BenchRow, ...]
) -> None:
    """Writes what is known so far, so that a machine that is taken away leaves it behind.

    Beside the output and not over it: that may hold an earlier benchmark, complete.

    Raises:
        WorkError: The file cannot be written.
    """
    if request.output is None:
        return
    output = run.paths.directory / request.output
    if not is_stream(output):
        path = Path(bench_companions(output)[1])
        write_atomically(path, _result(request, plan, rows).model_dump_json(indent=1) + "\n")


def _result(request: BenchRequest, plan: BenchPlanned, rows: tuple[BenchRow, ...]) -> BenchResult:
    return BenchResult(
        machine=plan.machine,
        versions=plan.versions,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=request.command,
        matrix=request.matrix,
        rows=rows,
    )


def render_markdown(result: BenchResult) -> str:
    """The table, and under it what it was measured on and what its cells cannot say."""
    first = result.rows[0].case
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    model = f"{first.model} + {first.lora.whole_words}" if first.lora else first.model
    lines = [
        f"{escaped(model)}, {first.width} x {first.height}, {first.steps} steps, "
        f"{first.dtype}, on {result.machine.summary}, {first.threads} CPU threads, {result.date}.",
        "",
        *to_markdown(table_of(result)).splitlines(),
        "",
        *_note_lines(result.rows),
        f"- {versions}",
    ]
    if result.command:
        lines.append(f"- {code(result.command)}")
    return "\n".join(lines) + "\n"


def _note_lines(rows: Iterable[BenchRow]) -> Iterator[str]:
    """Each note once, after the labels of the rows that it is about."""
    labels: dict[str, list[str]] = {}
    for row in rows:
        for note in _notes(row):
            labels.setdefault(note, []).append(f"`{row.label}`")
    for note, about in labels.items():
        yield f"- {', '.join(about)}: {note}"


def _notes(row: BenchRow) -> Iterator[str]:
    if row.status is RowStatus.FAILED:
        yield f"failed: {escaped(row.error)}"
    if row.execution_note:
        layers = f"{row.case.layers_words} ({row.case.selection})"
        yield f"{row.case.quant_type} on {layers}, {row.case.execution}: {row.execution_note}"
    if row.case.kept_note:
        yield row.case.kept_note
    if row.case.compiler_config:
        settings = json.loads(row.case.compiler_config)
        notes = settings.pop("notes", ())
        yield f"{row.case.compiler} {json.dumps(settings)}"
        yield from notes
    if row.figures.cache_hits or row.figures.cache_misses:
        graphs = (row.figures.cache_hits or 0) + (row.figures.cache_misses or 0)
        yield f"{row.figures.cache_hits or 0} of {graphs} graphs came from the cache"
    if row.case.memory:
        yield f"memory: {row.case.memory}{_budget_note(row)}"
    if row.case.warmup_note:
        yield row.case.warmup_note


def _budget_note(row: BenchRow) -> str:
    if not row.figures.chosen_memory or row.figures.memory_estimate_bytes is None:
        return ""
    estimate_gib = row.figures.memory_estimate_bytes / 2**30
    return f", which chose {row.figures.chosen_memory} by an estimate of {estimate_gib:.2f} GiB"
