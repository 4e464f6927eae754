"""The benchmark's tab and what happens at this moment: iterations per second, the device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.pilot import Pilot

from pixart_tui.domain.live import Gauges, Live, Pace
from pixart_tui.runs.live import write_live
from pixart_tui.runs.run import Run
from pixart_tui.tui.app import themes
from pixart_tui.tui.drawing.gauge_lines import gauges_line
from pixart_tui.tui.drawing.glyphs import LEVELS
from pixart_tui.tui.drawing.lines import plain
from pixart_tui.tui.tabs.bench.pace_line import pace_line, sparkline
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, shown, until, until_shown

SnapCompare = Callable[..., bool]
SIZES = [(80, 24), (120, 36), (200, 50)]
OUTPUT = Path("/data/profiles/pixart-emoji")
RUNNING = "none+" + sample_runs.QUANT_TYPE


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
@pytest.mark.parametrize("machine", ["gpu", "cpu", "done"])
def test_looks(snap_compare: SnapCompare, machine: str, light: bool, size: tuple[int, int]) -> None:
    if machine == "done":
        sample_runs.finished_bench(OUTPUT)
    else:
        gauges = sample_runs.GPU_GAUGES if machine == "gpu" else sample_runs.PROCESS_GAUGES
        sample_runs.give_live(sample_runs.bench(OUTPUT), gauges)

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "4 of 4 cases" if machine == "done" else LEVELS[-1])
        if light:
            pilot.app.theme = themes.LIGHT.name
        await pilot.pause()

    assert snap_compare(dashboard(sample_runs.BENCH_ID), terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_of_a_gpus_gauges_is_cut(tmp_path: Path, size: tuple[int, int]) -> None:
    sample_runs.give_live(sample_runs.bench(tmp_path), sample_runs.GPU_GAUGES)
    app = dashboard(sample_runs.BENCH_ID)

    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "673 W")
        rows = screen_text(app)

    assert any("GPU" in row and " 97%" in row and row.endswith("61 °C") for row in rows)
    assert any("14.4 of 79.6 GiB" in row for row in rows)
    pace = next(row for row in rows if f"{sample_runs.PACES[-1]:.2f} it/s " in row)
    assert f"{min(sample_runs.PACES):.2f}-14.4" in pace
    assert all(cell_len(row) <= size[0] for row in rows)


async def test_a_machine_without_a_gpu_shows_the_runs_processes(tmp_path: Path) -> None:
    sample_runs.give_live(sample_runs.bench(tmp_path), sample_runs.PROCESS_GAUGES)

    async with dashboard(sample_runs.BENCH_ID).run_test(size=(80, 24)) as pilot:
        text = await until_shown(pilot, "processes' CPU")

    assert "1.87 of 2 cores" in text
    assert "resident" in text
    assert "1.2 of 8.0 GiB" in text
    assert "GPU" not in text


async def test_moves_as_the_worker_tells(tmp_path: Path) -> None:
    run = sample_runs.bench(tmp_path)
    _tell(run, 12.0)

    async with dashboard(run.id).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "12.00 it/s █", "12.00-12.00")
        _tell(run, 12.0, 6.0)
        await until_shown(pilot, "6.00 it/s █▄", "6.00-12.00")


async def test_the_row_before_leaves_no_sparkline(tmp_path: Path) -> None:
    run = sample_runs.bench(tmp_path)
    sample_runs.give_live(run, sample_runs.GPU_GAUGES, label="compile")

    async with dashboard(run.id).run_test(size=(80, 24)) as pilot:
        text = await until_shown(pilot, "673 W")

    assert " it/s  -" in text


async def test_a_worker_that_has_gone_shows_no_gauges(tmp_path: Path) -> None:
    run = sample_runs.bench(tmp_path)
    sample_runs.give_live(run, sample_runs.GPU_GAUGES)
    app = dashboard(run.id)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "673 W")
        run.paths.worker.write_text(sample_runs.gone_worker().model_dump_json())
        await until(pilot, lambda: "673 W" not in shown(app))
        assert "its worker is gone" in shown(app)


async def test_a_damaged_sample_is_no_sample(tmp_path: Path) -> None:
    run = sample_runs.bench(tmp_path)
    run.paths.live.write_text('{"v": 1, "t": 1.0, "gau')

    async with dashboard(run.id).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "no gauges of the device", "2 of 4 cases")


def test_gauges_that_the_driver_refuses_are_dashes() -> None:
    gauges = Gauges(source="gpu", utilization=None, memory_bytes=None, memory_total_bytes=None)
    text = plain(gauges_line(Live(t=0.0, cpu_cores=2, gauges=gauges), 80))

    assert text.split() == ["GPU", "────────", "-", "memory", "-", "-", "-"]


@given(st.lists(st.floats(0.01, 500.0), min_size=1, max_size=80), st.integers(60, 200))
def test_the_pace_fits_any_width(paces: list[float], width: int) -> None:
    text = plain(pace_line(Pace(label=RUNNING, iterations_per_s=tuple(paces)), RUNNING, width))

    assert cell_len(text) <= width
    assert "it/s" in text


@given(st.lists(st.floats(0.0, 100.0), min_size=1, max_size=80))
def test_a_bar_is_as_high_as_its_value(values: list[float]) -> None:
    bars = sparkline(values, max(values))
    heights = [LEVELS.index(bar) for bar in bars]

    assert len(bars) == len(values)
    assert sorted(heights) == [height for _, height in sorted(zip(values, heights, strict=True))]
    if max(values) > 0:
        assert max(heights) == len(LEVELS) - 1


def _tell(run: Run, *paces: float) -> None:
    pace = Pace(label=RUNNING, iterations_per_s=paces)
    write_live(run.paths.live, Live(t=0.0, cpu_cores=2, pace=pace))
