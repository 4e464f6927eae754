"""The results of a benchmark as files: JSON to keep, Markdown to read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from pixart_tui.domain.bench_table import bench_table, to_markdown
from pixart_tui.domain.benchmark import BenchResult, BenchRow, RowStatus
from pixart_tui.domain.events import (
    ArtifactWritten,
    BenchFinished,
    BenchPlanned,
    Event,
    StageChanged,
)
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.runs.files import write_atomically
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
    result = BenchResult(
        machine=plan.machine,
        versions=plan.versions,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        command=request.command,
        rows=rows,
    )
    emit(BenchFinished(result=result))
    if request.output is None:
        return
    output = run.paths.directory / request.output
    emit(StageChanged(stage="writing", detail=str(output)))
    beside = output.with_name(f"{output.name.removesuffix('.json')}.md")
    write_atomically(beside, render_markdown(result))
    write_atomically(output, result.model_dump_json(indent=1) + "\n")
    for path in (beside, output):
        emit(ArtifactWritten(role="bench", path=str(path)))


def render_markdown(result: BenchResult) -> str:
    """The table, and under it what it was measured on and what its cells cannot say."""
    first = result.rows[0]
    versions = ", ".join(f"{name} {version}" for name, version in result.versions.items())
    lines = [
        f"{first.model}, {first.width} x {first.height}, {first.steps} steps, {first.dtype}, "
        f"on {result.machine.summary}, {first.threads} CPU threads, {result.date}.",
        "",
        *to_markdown(bench_table(result.rows)).splitlines(),
        "",
        *(f"- {note}" for row in result.rows for note in _notes(row)),
        f"- {versions}",
    ]
    if result.command:
        lines.append(f"- `{result.command}`")
    return "\n".join(lines) + "\n"


def _notes(row: BenchRow) -> Iterator[str]:
    if row.status is RowStatus.FAILED:
        yield f"`{row.label}` failed: {row.error}"
    if row.execution_note:
        layers = f"{row.quantized_layers} layers ({row.selection})"
        yield f"`{row.label}`: {layers}, {row.execution}: {row.execution_note}"
    if row.compiler_config:
        settings = json.dumps(json.loads(row.compiler_config))
        yield f"`{row.label}`: torch.compile {settings}{_cache_note(row)}"


def _cache_note(row: BenchRow) -> str:
    if row.cache_hits is None or row.cache_misses is None:
        return ""
    graphs = row.cache_hits + row.cache_misses
    return f"; {row.cache_hits} of {graphs} graphs came from the cache of the cold start"
