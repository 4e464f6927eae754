"""The benchmark's tab while a case warms up."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.domain.benchmarks.rows import RowStatus
from pixart_tui.domain.events import AttemptFinished, BenchRowUpdated
from pixart_tui.runs.journal import JournalWriter
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, shown, until, until_shown

_HEAD = "warm-up of compile"


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_shows_every_region_whole(tmp_path: Path, size: tuple[int, int]) -> None:
    run = sample_runs.warming_up(tmp_path)
    app = dashboard(run.id)

    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, _HEAD)
        lines = screen_text(app)

    assert " warm-up of compile with empty caches: 0:45, about 0:59 left" in lines
    found = {line[3:22].strip(): line[22:].split() for line in lines}
    assert found["region"] == ["found", "ready", "cached", "tuned", "elapsed", "left"]
    assert found["Triton kernels"] == ["12", "12", "of", "12", "3", "0", "0:06", "0:00"]
    assert found["transformer blocks"] == ["28", "0", "of", "1", "0", "412", "0:38", "0:28"]
    assert found["VAE decoder"] == ["1", "0", "of", "1", "0", "0", "0:00", "0:11"]
    assert found["CUDA graphs"] == ["-", "0", "0", "0", "0:00", "-"]
    assert "…" not in "\n".join(line for line in lines if line[3:22].strip() in found)


async def test_states_have_marks_beside_their_colors(tmp_path: Path) -> None:
    run = sample_runs.warming_up(tmp_path)

    async with dashboard(run.id).run_test(size=(80, 24)) as pilot:
        text = await until_shown(pilot, _HEAD)

    for mark, name in (("✓", "Triton kernels"), ("▶", "transformer blocks"), ("◌", "VAE decoder")):
        assert f" {mark} {name}" in text


async def test_the_first_time_it_does_not_guess(tmp_path: Path) -> None:
    run = sample_runs.warming_up(tmp_path, sample_runs.warmup(estimated=False))

    async with dashboard(run.id).run_test(size=(80, 24)) as pilot:
        text = await until_shown(pilot, _HEAD)

    assert "0:45, time left not known the first time" in text
    blocks = next(line for line in text.splitlines() if "transformer blocks" in line)
    assert blocks.split()[-1] == "-"


async def test_goes_when_the_warm_up_is_over_and_leaves_a_note(tmp_path: Path) -> None:
    run = sample_runs.warming_up(tmp_path)
    app = dashboard(run.id)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, _HEAD)
        over = sample_runs.warmup(finished=True)
        row = sample_runs.bench_rows(2)[1]
        figures = row.figures.replace(warmup_compile_regions=over.warmup.regions)
        row = row.replace(status=RowStatus.RUNNING, figures=figures)
        with JournalWriter(run.paths.events) as journal:
            journal.append(over)
            journal.append(BenchRowUpdated(row=row))
        await until(pilot, lambda: _HEAD not in shown(app))
        assert "compile: cold: Triton kernels 6.2 s (9 made, 3 cached)" in shown(app)


@pytest.mark.parametrize("how", ["row failed", "run failed", "worker gone"])
async def test_goes_when_its_process_does(tmp_path: Path, how: str) -> None:
    run = sample_runs.warming_up(tmp_path)
    app = dashboard(run.id)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, _HEAD)
        if how == "worker gone":
            run.paths.worker.write_text(sample_runs.gone_worker().model_dump_json())
        else:
            row = sample_runs.bench_rows(2)[1]
            failed = BenchRowUpdated(row=row.replace(status=RowStatus.FAILED))
            ended = AttemptFinished(state="failed")
            with JournalWriter(run.paths.events) as journal:
                journal.append(failed if how == "row failed" else ended)
        await until(pilot, lambda: _HEAD not in shown(app))
