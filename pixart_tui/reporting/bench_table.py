"""OneDiff's benchmark tables as text, so that every display shows the same cells.

A figure stands with its change against the baseline: ``24.518 it/s (+16.4%)``. A dash means that
the figure does not apply or was not measured, an empty cell that it is still to come.

A plain benchmark has few cases: metrics are lines and cases are columns. A matrix has many: cases
are lines, speeds stand with their ratio to the baseline (``40.300 (1.55x)``), and beside them
what OneDiff's report prints for the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pixart_tui.domain.benchmarks.matrix import PUBLISHED, PUBLISHED_ON
from pixart_tui.domain.benchmarks.rows import BenchResult, BenchRow, RowStatus

BENCH_SIMULATED: Final = "simulated"
BENCH_RUNNING: Final = "..."
BENCH_FAILED: Final = "failed"
BENCH_NOT_APPLICABLE: Final = "-"
_BAR: Final = re.compile(r"(?<!\\)\|")

_MEMORY_LABELS: Final = {"cuda": "max memory (CUDA)", "process": "max memory (process)"}

_Cell = Callable[[BenchRow], str]
_Figure = Callable[[BenchRow], float | None]
_Change = Callable[[float], str]


@dataclass(frozen=True, slots=True)
class BenchTable:
    """The cells of the table.

    Attributes:
        columns: What stands above the cells: the cases' labels, or in a matrix the metrics.
        lines: Each line's label and its cells, one per column.
        corner: What stands above the lines' labels.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]
    corner: str = "Metric"


def bench_table(rows: Sequence[BenchRow]) -> BenchTable:
    """The table of a benchmark, finished or not."""
    lines = tuple((label, tuple(cell(row) for row in rows)) for label, cell in _metrics(rows))
    return BenchTable(columns=tuple(row.label for row in rows), lines=lines)


def matrix_table(*benchmarks: Sequence[BenchRow]) -> BenchTable:
    """The table of one matrix, or of several under each other.

    Args:
        *benchmarks: Each with a baseline of its own, which its changes refer to. Where there are
            several, the model stands before the label.
    """
    every = tuple(row for rows in benchmarks for row in rows)
    columns = tuple(label for label, _ in _matrix_metrics(every, None))
    lines: list[tuple[str, tuple[str, ...]]] = []
    for rows in benchmarks:
        metrics = tuple(_matrix_metrics(every, baseline_of(rows)))
        for row in rows:
            model = f"{row.case.model.rpartition(':')[2]}: " if len(benchmarks) > 1 else ""
            lines.append((model + row.label, tuple(cell(row) for _, cell in metrics)))
    return BenchTable(columns=columns, lines=tuple(lines), corner="Row")


def table_of(result: BenchResult) -> BenchTable:
    """The table that suits a result."""
    return matrix_table(result.rows) if result.matrix else bench_table(result.rows)


def baseline_of(rows: Sequence[BenchRow]) -> BenchRow | None:
    """The row that the percentages refer to: nothing compiled, nothing quantized."""
    plain = (row for row in rows if row.case.compiler == "none" and row.case.quant_type is None)
    return next(plain, None)


def split_change(cell: str) -> tuple[str, str]:
    """A cell's figure and its percentage: ``("24.518 it/s", "(+16.4%)")``."""
    figure, _, change = cell.partition(" (")
    return figure, f"({change}" if change else ""


def to_markdown(table: BenchTable) -> str:
    """The table in Markdown, ending with a newline."""
    head = [table.corner, *table.columns]
    body = [[label, *cells] for label, cells in table.lines]
    alignment = ["---", *("---:" for _ in table.columns)]
    return "".join(f"{_markdown_row(cells)}\n" for cells in (head, alignment, *body))


def _metrics(rows: Sequence[BenchRow]) -> Iterator[tuple[str, _Cell]]:
    baseline = baseline_of(rows)
    yield "iteration speed", _measured(_speed, "{:.3f} it/s", _percent, baseline)
    if _is_there(rows, _transformer_speed):
        yield "transformer alone", _measured(_transformer_speed, "{:.3f} it/s", _percent, baseline)
    yield "E2E time", _measured(_e2e, "{:.3f} s", _percent, baseline)
    for kind in sorted({row.case.peak_kind for row in rows}):
        yield _MEMORY_LABELS[kind], _memory(kind, _peak_gib, baseline)
        if kind == "cuda" and _is_there(rows, _reserved_gib):
            yield "max memory (reserved)", _memory(kind, _reserved_gib, baseline)
    if _is_there(rows, _sm_mhz):
        yield "SM clock, power", _clocks
    yield "warm-up with run", _measured(_warmup_run, "{:.3f} s", _percent, baseline, _is_eager)
    yield "warm-up with compilation", _measured(_warmup_compile, "{:.3f} s", applies=_is_compiled)
    yield "warm-up with cache", _measured(_warmup_cache, "{:.3f} s", applies=_is_compiled)
    yield "SSIM", lambda row: _quality(row, _ssim_text(row))
    yield "PSNR", lambda row: _quality(row, _psnr_text(row))


def _matrix_metrics(
    rows: Sequence[BenchRow], baseline: BenchRow | None
) -> Iterator[tuple[str, _Cell]]:
    """The columns: of all rows, so that several matrices have the same; of one baseline."""
    yield "it/s", _measured(_speed, "{:.3f}", _ratio, baseline)
    yield "min-max", _spread
    yield "transformer alone, it/s", _measured(_transformer_speed, "{:.3f}", _ratio, baseline)
    yield "E2E, s", _measured(_e2e, "{:.3f}", _percent, baseline)
    yield "memory, GiB", _measured(_peak_gib, "{:.3f}", _percent, baseline)
    if any(row.case.peak_kind == "cuda" for row in rows):
        yield "reserved, GiB", _measured(_reserved_gib, "{:.3f}", _percent, baseline)
    if _is_there(rows, _sm_mhz):
        yield "SM clock, power", _clocks
    yield "warm-up, s", _measured(_warmup_first, "{:.1f}")
    yield "with cache, s", _measured(_warmup_cache, "{:.1f}", applies=_is_compiled)
    yield "SSIM", lambda row: _quality(row, _ssim_text(row))
    yield f"{PUBLISHED_ON}: it/s, E2E, memory", _published


def _spread(row: BenchRow) -> str:
    speeds = row.figures.iterations_per_s
    return f"{speeds.min:.2f}-{speeds.max:.2f}" if speeds else BENCH_NOT_APPLICABLE


def _published(row: BenchRow) -> str:
    found = PUBLISHED.get(row.label)
    if found is None:
        return BENCH_NOT_APPLICABLE
    return f"{found.iteration_speed:+.1f}%, {found.e2e_time:+.1f}%, {found.peak_gib:.3f} GiB"


def _is_there(rows: Sequence[BenchRow], figure: _Figure) -> bool:
    """Whether a line has a figure; results of earlier versions lack some."""
    return any(figure(row) is not None for row in rows)


def _measured(
    figure: _Figure,
    template: str,
    change: _Change | None = None,
    baseline: BenchRow | None = None,
    applies: Callable[[BenchRow], bool] = lambda _: True,
) -> _Cell:
    """A cell for what only the real kernel can show."""

    def cell(row: BenchRow) -> str:
        if not applies(row):
            return BENCH_NOT_APPLICABLE
        if row.case.is_simulated:
            return BENCH_SIMULATED
        value = figure(row)
        if value is None:
            return _missing(row)
        reference = figure(baseline) if baseline is not None and baseline is not row else None
        changed = f" ({change(value / reference)})" if change and reference else ""
        return template.format(value) + changed

    return cell


def _percent(ratio: float) -> str:
    return f"{round(100 * (ratio - 1), 1) + 0.0:+.1f}%"  # never "-0.0"


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}x"


def _memory(kind: str, figure: _Figure, baseline: BenchRow | None) -> _Cell:
    same_kind = baseline if baseline is not None and baseline.case.peak_kind == kind else None
    return _measured(
        figure, "{:.3f} GiB", _percent, same_kind, lambda row: row.case.peak_kind == kind
    )


def _clocks(row: BenchRow) -> str:
    if row.figures.clocks is None:
        return BENCH_SIMULATED if row.case.is_simulated else _missing(row)
    return f"{row.figures.clocks.sm_mhz:.0f} MHz, {row.figures.clocks.power_w:.0f} W"


def _quality(row: BenchRow, text: str | None) -> str:
    return _missing(row) if text is None else text


def _ssim_text(row: BenchRow) -> str | None:
    if row.figures.images_equal:
        return "1.0"
    return None if row.figures.ssim is None else _below_one(row.figures.ssim)


def _below_one(ssim: float) -> str:
    """Four decimals, or as many as it takes to tell it from an equal image."""
    texts = (f"{ssim:.{digits}f}" for digits in range(4, 9))
    return next((text for text in texts if float(text) != 1.0), f"{ssim:.8f}")


def _psnr_text(row: BenchRow) -> str | None:
    if row.figures.images_equal:
        return "equal"
    return None if row.figures.psnr_db is None else f"{row.figures.psnr_db:.2f} dB"


def _missing(row: BenchRow) -> str:
    return {
        RowStatus.PENDING: "",
        RowStatus.RUNNING: BENCH_RUNNING,
        RowStatus.FAILED: BENCH_FAILED,
        RowStatus.DONE: BENCH_NOT_APPLICABLE,
    }[row.status]


def _is_eager(row: BenchRow) -> bool:
    return not row.case.is_compiled


def _is_compiled(row: BenchRow) -> bool:
    return row.case.is_compiled


def _speed(row: BenchRow) -> float | None:
    return row.figures.iterations_per_s.median if row.figures.iterations_per_s else None


def _e2e(row: BenchRow) -> float | None:
    return row.figures.e2e_s.median if row.figures.e2e_s else None


def _transformer_speed(row: BenchRow) -> float | None:
    return 1 / row.figures.transformer_s.median if row.figures.transformer_s else None


def _sm_mhz(row: BenchRow) -> float | None:
    return row.figures.clocks.sm_mhz if row.figures.clocks else None


def _reserved_gib(row: BenchRow) -> float | None:
    return (
        None if row.figures.peak_reserved_bytes is None else row.figures.peak_reserved_bytes / 2**30
    )


def _warmup_first(row: BenchRow) -> float | None:
    return row.figures.warmup_run_s if _is_eager(row) else row.figures.warmup_compile_s


def _peak_gib(row: BenchRow) -> float | None:
    return None if row.figures.peak_bytes is None else row.figures.peak_bytes / 2**30


def _warmup_run(row: BenchRow) -> float | None:
    return row.figures.warmup_run_s


def _warmup_compile(row: BenchRow) -> float | None:
    return row.figures.warmup_compile_s


def _warmup_cache(row: BenchRow) -> float | None:
    return row.figures.warmup_cache_s


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_BAR.sub(r"\\|", cell) for cell in cells) + " |"
