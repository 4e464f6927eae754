"""The seed's benchmark table as text, so that every display shows the same cells.

Metrics are lines and cases are columns; a figure stands with its change against the baseline:
``24.518 it/s (+16.4%)``. A dash means that the figure does not apply, an empty cell that it is
still to come.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pixart_tui.domain.benchmark import BenchRow, RowStatus

BENCH_SIMULATED: Final = "simulated"
BENCH_RUNNING: Final = "..."
BENCH_FAILED: Final = "failed"
BENCH_NOT_APPLICABLE: Final = "-"

_MEMORY_LABELS: Final = {"cuda": "max memory (CUDA)", "process": "max memory (process)"}

_Cell = Callable[[BenchRow], str]
_Figure = Callable[[BenchRow], float | None]


@dataclass(frozen=True, slots=True)
class BenchTable:
    """The cells of the table.

    Attributes:
        columns: The cases' labels.
        lines: Each metric's label and its cells, one per case.
    """

    columns: tuple[str, ...]
    lines: tuple[tuple[str, tuple[str, ...]], ...]


def bench_table(rows: Sequence[BenchRow]) -> BenchTable:
    """The table of a benchmark, finished or not."""
    lines = tuple((label, tuple(cell(row) for row in rows)) for label, cell in _metrics(rows))
    return BenchTable(columns=tuple(row.label for row in rows), lines=lines)


def baseline_of(rows: Sequence[BenchRow]) -> BenchRow | None:
    """The row that the percentages refer to: nothing compiled, nothing quantized."""
    plain = (row for row in rows if row.compiler == "none" and row.quant_type is None)
    return next(plain, None)


def split_change(cell: str) -> tuple[str, str]:
    """A cell's figure and its percentage: ``("24.518 it/s", "(+16.4%)")``."""
    figure, _, change = cell.partition(" (")
    return figure, f"({change}" if change else ""


def to_markdown(table: BenchTable) -> str:
    """The table in Markdown, ending with a newline."""
    head = ["Metric", *table.columns]
    body = [[label, *cells] for label, cells in table.lines]
    alignment = ["---", *("---:" for _ in table.columns)]
    return "".join(f"{_markdown_row(cells)}\n" for cells in (head, alignment, *body))


def _metrics(rows: Sequence[BenchRow]) -> Iterator[tuple[str, _Cell]]:
    baseline = baseline_of(rows)
    yield "iteration speed", _measured(_speed, "{:.3f} it/s", baseline)
    yield "E2E time", _measured(_e2e, "{:.3f} s", baseline)
    for kind in sorted({row.peak_kind for row in rows}):
        yield _MEMORY_LABELS[kind], _memory(kind, baseline)
    yield "warm-up with run", _measured(_warmup_run, "{:.3f} s", baseline, _is_eager)
    yield "warm-up with compilation", _measured(_warmup_compile, "{:.3f} s", None, _is_compiled)
    yield "warm-up with cache", _measured(_warmup_cache, "{:.3f} s", None, _is_compiled)
    yield "SSIM", lambda row: _quality(row, _ssim_text(row))
    yield "PSNR", lambda row: _quality(row, _psnr_text(row))


def _measured(
    figure: _Figure,
    template: str,
    baseline: BenchRow | None,
    applies: Callable[[BenchRow], bool] = lambda _: True,
) -> _Cell:
    """A cell for what only the real kernel can show."""

    def cell(row: BenchRow) -> str:
        if not applies(row):
            return BENCH_NOT_APPLICABLE
        if row.execution == "simulated":
            return BENCH_SIMULATED
        value = figure(row)
        if value is None:
            return _missing(row)
        return template.format(value) + _change(value, row, baseline, figure)

    return cell


def _memory(kind: str, baseline: BenchRow | None) -> _Cell:
    same_kind = baseline if baseline is not None and baseline.peak_kind == kind else None
    return _measured(_peak_gib, "{:.3f} GiB", same_kind, lambda row: row.peak_kind == kind)


def _change(value: float, row: BenchRow, baseline: BenchRow | None, figure: _Figure) -> str:
    reference = figure(baseline) if baseline is not None and baseline is not row else None
    if not reference:
        return ""
    percent = round(100 * (value / reference - 1), 1) + 0.0  # never "-0.0"
    return f" ({percent:+.1f}%)"


def _quality(row: BenchRow, text: str | None) -> str:
    return _missing(row) if text is None else text


def _ssim_text(row: BenchRow) -> str | None:
    if row.images_equal:
        return "1.0"
    return None if row.ssim is None else _below_one(row.ssim)


def _below_one(ssim: float) -> str:
    """Four decimals, or as many as it takes to tell it from an equal image."""
    texts = (f"{ssim:.{digits}f}" for digits in range(4, 9))
    return next((text for text in texts if float(text) != 1.0), f"{ssim:.8f}")


def _psnr_text(row: BenchRow) -> str | None:
    if row.images_equal:
        return "equal"
    return None if row.psnr_db is None else f"{row.psnr_db:.2f} dB"


def _missing(row: BenchRow) -> str:
    return {
        RowStatus.PENDING: "",
        RowStatus.RUNNING: BENCH_RUNNING,
        RowStatus.FAILED: BENCH_FAILED,
        RowStatus.DONE: BENCH_NOT_APPLICABLE,
    }[row.status]


def _is_eager(row: BenchRow) -> bool:
    return row.compiler == "none"


def _is_compiled(row: BenchRow) -> bool:
    return row.compiler != "none"


def _speed(row: BenchRow) -> float | None:
    return row.iterations_per_s.median if row.iterations_per_s else None


def _e2e(row: BenchRow) -> float | None:
    return row.e2e_s.median if row.e2e_s else None


def _peak_gib(row: BenchRow) -> float | None:
    return None if row.peak_bytes is None else row.peak_bytes / 2**30


def _warmup_run(row: BenchRow) -> float | None:
    return row.warmup_run_s


def _warmup_compile(row: BenchRow) -> float | None:
    return row.warmup_compile_s


def _warmup_cache(row: BenchRow) -> float | None:
    return row.warmup_cache_s


def _markdown_row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
