from __future__ import annotations

from pathlib import Path

from pixart_tui.domain.benchmarks.rows import RowStatus
from pixart_tui.domain.events import BenchRowUpdated
from pixart_tui.runs.journal import JournalWriter
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, shown, until_shown


async def test_shows_the_seeds_table_with_percentages(tmp_path: Path) -> None:
    sample_runs.bench(tmp_path)

    async with dashboard(sample_runs.BENCH_ID).run_test(size=(120, 36)) as pilot:
        text = await until_shown(pilot, "2 of 4 cases")

    assert "10.743 it/s (+24.6%)" in text
    assert "1.992 s (-22.4%)" in text
    assert "max memory (CUDA)" in text
    assert "warm-up with compilation" in text
    assert "equal" in text
    assert "benchmarking  compile: first call with empty caches" in text


async def test_at_80_columns_percentages_stand_below_and_nothing_is_cut(tmp_path: Path) -> None:
    sample_runs.bench(tmp_path)
    app = dashboard(sample_runs.BENCH_ID)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "10.743 it/s", "(+24.6%)", "510.170 s")
        assert max(len(row) for row in shown(app).splitlines()) <= 80
        assert "…" not in "\n".join(screen_text(app))


async def test_fills_in_live(tmp_path: Path) -> None:
    run = sample_runs.bench(tmp_path)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "2 of 4 cases")
        with JournalWriter(run.paths.events) as journal:
            journal.append(BenchRowUpdated(row=sample_runs.bench_rows(4)[2]))
        await until_shown(pilot, "3 of 4 cases", "9.100 it/s")


async def test_a_simulated_case_has_no_speed(tmp_path: Path) -> None:
    simulated = [
        row.replace(
            case=row.case.replace(execution="simulated"), execution_note="no fp8 kernel on a CPU"
        )
        if row.case.quant_type
        else row
        for row in sample_runs.bench_rows(4)
    ]
    run = sample_runs.bench(tmp_path, simulated)

    async with dashboard(run.id).run_test(size=(120, 36)) as pilot:
        text = await until_shown(pilot, "4 of 4 cases", "no fp8 kernel on a CPU")

    speed = next(row for row in text.splitlines() if "iteration speed" in row)
    quality = next(row for row in text.splitlines() if "SSIM" in row)
    assert speed.split()[-2:] == ["simulated", "simulated"]
    assert quality.split()[-1] == "0.9987"


async def test_a_failed_case_shows_its_error(tmp_path: Path) -> None:
    rows = list(sample_runs.bench_rows(1))
    update = {"status": RowStatus.FAILED, "error": "Triton found no C compiler"}
    rows[1] = rows[1].replace(**update)
    run = sample_runs.bench(tmp_path, rows)

    async with dashboard(run.id).run_test() as pilot:
        text = await until_shown(pilot, "✗ compile: Triton found no C compiler")

    assert "failed" in text


async def test_follows_the_benchmark_that_is_given_beside_a_profile(tmp_path: Path) -> None:
    profile, bench = sample_runs.running_profile(tmp_path), sample_runs.bench(tmp_path)

    async with dashboard(profile.id, bench.id).run_test() as pilot:
        await until_shown(pilot, f"run {profile.id}")
        await pilot.press("4")
        await until_shown(pilot, f"run {bench.id}", "2 of 4 cases")


async def test_without_a_benchmark_it_says_how_to_make_one(tmp_path: Path) -> None:
    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.press("4")
        await until_shown(pilot, "No benchmark is open")
