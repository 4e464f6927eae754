from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.bench_table import (
    BenchTable,
    baseline_of,
    bench_table,
    split_change,
    to_markdown,
)
from pixart_tui.domain.benchmark import BenchRow, RowStatus, Statistic

GIB = 2**30


def _row(compiler: str = "none", quant_type: str | None = None, **figures: Any) -> BenchRow:
    kind: Literal["cuda", "process"] = figures.pop("peak_kind", "cuda")
    return BenchRow(
        label=compiler if quant_type is None else f"{compiler}+{quant_type}",
        model="pixart-emoji",
        height=128,
        width=128,
        steps=20,
        compiler=compiler,
        dtype="bfloat16",
        quant_type=quant_type,
        peak_kind=kind,
        **({"status": RowStatus.DONE} | figures),
    )


def _speed(value: float) -> Statistic:
    return Statistic.of([value])


def _cells(table: BenchTable, label: str) -> tuple[str, ...]:
    return dict(table.lines)[label]


def test_the_h800_column_of_the_onediff_report_comes_out_as_printed_there() -> None:
    eager = _row(
        iterations_per_s=_speed(21.067),
        e2e_s=_speed(1.102),
        peak_bytes=round(14.468 * GIB),
        warmup_run_s=1.741,
    )
    compiled = _row(
        "compile",
        iterations_per_s=_speed(24.518),
        e2e_s=_speed(0.865),
        peak_bytes=round(13.970 * GIB),
        warmup_compile_s=718.539,
        warmup_cache_s=131.776,
    )

    table = bench_table([eager, compiled])

    assert table.columns == ("none", "compile")
    assert _cells(table, "iteration speed") == ("21.067 it/s", "24.518 it/s (+16.4%)")
    assert _cells(table, "E2E time") == ("1.102 s", "0.865 s (-21.5%)")
    assert _cells(table, "max memory (CUDA)") == ("14.468 GiB", "13.970 GiB (-3.4%)")
    assert _cells(table, "warm-up with run") == ("1.741 s", "-")
    assert _cells(table, "warm-up with compilation") == ("-", "718.539 s")
    assert _cells(table, "warm-up with cache") == ("-", "131.776 s")


def test_the_metrics_stand_in_the_seeds_order() -> None:
    labels = [label for label, _ in bench_table([_row()]).lines]

    assert labels == [
        "iteration speed",
        "E2E time",
        "max memory (CUDA)",
        "warm-up with run",
        "warm-up with compilation",
        "warm-up with cache",
        "SSIM",
        "PSNR",
    ]


def test_memory_of_the_process_is_labelled_so() -> None:
    table = bench_table([_row(peak_kind="process", peak_bytes=GIB)])

    assert _cells(table, "max memory (process)") == ("1.000 GiB",)
    assert "max memory (CUDA)" not in dict(table.lines)


def test_memories_of_different_kinds_are_not_compared() -> None:
    rows = [_row(peak_bytes=GIB), _row("compile", peak_kind="process", peak_bytes=2 * GIB)]
    table = bench_table(rows)

    assert _cells(table, "max memory (CUDA)") == ("1.000 GiB", "-")
    assert _cells(table, "max memory (process)") == ("-", "2.000 GiB")


def test_a_simulated_case_shows_its_quality_and_no_speed() -> None:
    simulated = _row(
        quant_type="fp8_e4m3_e4m3_dynamic",
        execution="simulated",
        iterations_per_s=_speed(1.0),
        e2e_s=_speed(9.0),
        ssim=0.9987,
        psnr_db=48.21,
    )
    table = bench_table([_row(iterations_per_s=_speed(2.0)), simulated])

    assert _cells(table, "iteration speed")[1] == "simulated"
    assert _cells(table, "E2E time")[1] == "simulated"
    assert _cells(table, "SSIM")[1] == "0.9987"
    assert _cells(table, "PSNR")[1] == "48.21 dB"


def test_an_equal_image_is_said_to_be_equal() -> None:
    table = bench_table([_row("compile", images_equal=True, ssim=1.0)])

    assert _cells(table, "SSIM") == ("1.0",)
    assert _cells(table, "PSNR") == ("equal",)


@pytest.mark.parametrize(
    ("ssim", "text"), [(0.98765, "0.9877"), (0.99999, "0.99999"), (0.9999996, "0.9999996")]
)
def test_an_image_that_is_not_equal_never_looks_equal(ssim: float, text: str) -> None:
    assert _cells(bench_table([_row("compile", ssim=ssim)]), "SSIM") == (text,)


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (RowStatus.PENDING, ""),
        (RowStatus.RUNNING, "..."),
        (RowStatus.FAILED, "failed"),
        (RowStatus.DONE, "-"),
    ],
)
def test_a_figure_that_is_not_there_says_why(status: RowStatus, text: str) -> None:
    assert _cells(bench_table([_row(status=status)]), "iteration speed") == (text,)


def test_a_failed_case_keeps_the_figures_that_it_has() -> None:
    row = _row("compile", status=RowStatus.FAILED, warmup_compile_s=12.0)
    table = bench_table([row])

    assert _cells(table, "warm-up with compilation") == ("12.000 s",)
    assert _cells(table, "warm-up with cache") == ("failed",)


def test_without_a_baseline_there_are_no_percentages() -> None:
    table = bench_table([_row("compile", iterations_per_s=_speed(2.0))])

    assert _cells(table, "iteration speed") == ("2.000 it/s",)
    assert baseline_of([_row("compile")]) is None


def test_a_quantized_eager_case_is_compared_with_the_plain_one() -> None:
    rows = [_row(warmup_run_s=2.0), _row(quant_type="int8_dynamic", warmup_run_s=3.0)]

    assert baseline_of(rows) is rows[0]
    assert _cells(bench_table(rows), "warm-up with run") == ("2.000 s", "3.000 s (+50.0%)")


def test_no_change_is_not_negative() -> None:
    rows = [_row(e2e_s=_speed(1.0)), _row("compile", e2e_s=_speed(0.9999999))]

    assert _cells(bench_table(rows), "E2E time")[1] == "1.000 s (+0.0%)"


def test_markdown_is_a_table() -> None:
    table = bench_table([_row(e2e_s=_speed(2.0)), _row("compile", e2e_s=_speed(1.0))])

    lines = to_markdown(table).splitlines()

    assert lines[0] == "| Metric | none | compile |"
    assert lines[1] == "| --- | ---: | ---: |"
    assert "| E2E time | 2.000 s | 1.000 s (-50.0%) |" in lines
    assert len(lines) == 2 + len(table.lines)


def test_markdown_escapes_bars() -> None:
    assert "a\\|b" in to_markdown(BenchTable(("a|b",), ()))


@given(st.floats(0.001, 1e5), st.floats(0.001, 1e5))
def test_a_cell_comes_apart_into_figure_and_change(baseline: float, value: float) -> None:
    rows = [_row(e2e_s=_speed(baseline)), _row("compile", e2e_s=_speed(value))]
    figure, change = split_change(_cells(bench_table(rows), "E2E time")[1])

    assert figure == f"{value:.3f} s"
    assert change.startswith(("(+", "(-"))
    assert change.endswith("%)")
    assert split_change("equal") == ("equal", "")


@given(st.permutations(["none", "compile", "compile-max-autotune"]))
def test_there_is_a_cell_for_every_metric_and_case(compilers: list[str]) -> None:
    table = bench_table([_row(compiler) for compiler in compilers])

    assert all(len(cells) == len(table.columns) for _, cells in table.lines)
