from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.benchmarks.rows import BenchResult, BenchRow, Clocks, RowStatus, Statistic
from pixart_tui.domain.provenance import Machine
from pixart_tui.reporting.bench_table import (
    BenchTable,
    baseline_of,
    bench_table,
    matrix_table,
    split_change,
    table_of,
    to_markdown,
)

GIB = 2**30


def _row(compiler: str = "none", quant_type: str | None = None, **figures: Any) -> BenchRow:
    kind: Literal["cuda", "process"] = figures.pop("peak_kind", "cuda")
    label = compiler if quant_type is None else f"{compiler}+{quant_type}"
    return BenchRow(
        label=figures.pop("label", label),
        model=figures.pop("model", "pixart-emoji"),
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


def test_the_transformer_alone_is_a_speed_like_the_other() -> None:
    rows = [_row(transformer_s=_speed(0.04)), _row("compile", transformer_s=_speed(0.025))]

    assert _cells(bench_table(rows), "transformer alone") == (
        "25.000 it/s",
        "40.000 it/s (+60.0%)",
    )


def test_what_the_gpu_did_stands_below_its_memory() -> None:
    clocks = Clocks(sm_mhz=1755, power_w=612.4, temperature_c=60, samples=3)
    rows = [
        _row(peak_reserved_bytes=16 * GIB, clocks=clocks),
        _row("compile", peak_reserved_bytes=12 * GIB),
    ]

    table = bench_table(rows)

    assert _cells(table, "max memory (reserved)") == ("16.000 GiB", "12.000 GiB (-25.0%)")
    assert _cells(table, "SM clock, power") == ("1755 MHz, 612 W", "-")


def test_a_matrix_has_a_line_for_each_case_with_ratios_and_what_was_published() -> None:
    rows = [
        _row(iterations_per_s=_speed(20.0), e2e_s=_speed(1.0), warmup_run_s=2.0),
        _row(
            "torch",
            "fp8_e4m3_e4m3_dynamic",
            label="torch-fp8",
            iterations_per_s=_speed(31.0),
            transformer_s=_speed(0.03),
            e2e_s=_speed(0.6),
            warmup_compile_s=25.04,
        ),
        _row("compile", status=RowStatus.FAILED),
    ]

    table = matrix_table(rows)
    line = dict(zip(table.columns, dict(table.lines)["torch-fp8"], strict=True))

    assert [label for label, _ in table.lines] == ["none", "torch-fp8", "compile"]
    assert line["it/s"] == "31.000 (1.55x)"
    assert line["min-max"] == "31.00-31.00"
    assert line["transformer alone, it/s"] == "33.333"
    assert line["E2E, s"] == "0.600 (-40.0%)"
    assert line["warm-up, s"] == "25.0"
    assert line["OneDiff, H800, 2024-05-29: it/s, E2E, memory"] == "+21.8%, -25.2%, 13.400 GiB"
    assert dict(table.lines)["none"][-1] == "-"
    assert dict(table.lines)["compile"][0] == "failed"
    assert to_markdown(table).startswith("| Row | it/s |")


def test_several_matrices_refer_to_their_own_baselines() -> None:
    slow = [_row(model="synthetic:alpha", iterations_per_s=_speed(10.0))]
    fast = [
        _row(model="synthetic:sigma", iterations_per_s=_speed(20.0)),
        _row("torch", model="synthetic:sigma", iterations_per_s=_speed(30.0)),
    ]

    lines = dict(matrix_table(slow, fast).lines)

    assert list(lines) == ["alpha: none", "sigma: none", "sigma: torch"]
    assert lines["sigma: torch"][0] == "30.000 (1.50x)"


@pytest.mark.parametrize(("matrix", "corner"), [("", "Metric"), ("seed", "Row")])
def test_a_result_has_the_table_that_suits_it(matrix: str, corner: str) -> None:
    machine = Machine(device="cpu", device_name="x", cpu_cores=1, memory_bytes=1, os="Linux")
    result = BenchResult(
        machine=machine, versions={}, date="", command="", matrix=matrix, rows=(_row(),)
    )

    assert table_of(result).corner == corner


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
