"""A whole benchmark of the tiny model with empty caches: its figures, its files, its warm-up as it
was told, and its cache carried away.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pixart_tui.caches.cache_archive import load_archive, save_archive
from pixart_tui.caches.compile_cache import CompileCache
from pixart_tui.domain.benchmarks.rows import BenchResult, BenchRow, RowStatus
from pixart_tui.domain.benchmarks.warmup import RegionState, Warmup
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.events import (
    ArtifactWritten,
    BenchPlanned,
    BenchRowUpdated,
    Event,
    WarmupProgressed,
)
from pixart_tui.worker.bench.rows import WARM_CACHE_NOTE
from tests.worker.bench_runs import bench_rows, details, new_run, work

_SIMULATED = "none+fp8_e4m3_e4m3_dynamic"
_BLOCKS = "transformer blocks"


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, forked_workers: None
) -> tuple[list[Event], Path]:
    """A whole benchmark: eager, compiled, and what this CPU can only simulate."""
    folder = tmp_path_factory.mktemp("bench")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXART_TUI_RUNS", str(folder / "runs"))
        patch.setenv("PIXART_TUI_CACHE", str(folder / "cache"))
        run = new_run(
            compilers=("compile",),
            quantize=True,
            output=str(folder / "bench.json"),
            command="pixart-tui bench",
        )
        return work(run), folder


def test_the_plan_comes_before_the_figures(finished: tuple[list[Event], Path]) -> None:
    events, _ = finished
    kinds = [type(event) for event in events]
    assert kinds.index(BenchPlanned) < kinds.index(BenchRowUpdated)
    plan = events[kinds.index(BenchPlanned)]
    assert isinstance(plan, BenchPlanned)
    assert [row.label for row in plan.rows] == ["none", "compile", _SIMULATED]
    assert all(row.status is RowStatus.PENDING for row in plan.rows)
    assert {(row.case.height, row.case.steps, row.case.dtype) for row in plan.rows} == {
        (64, 3, "float32")
    }
    assert plan.versions["torch"]


def test_the_eager_row(finished: tuple[list[Event], Path]) -> None:
    row = bench_rows(finished[0])["none"]
    assert row.status is RowStatus.DONE
    assert row.figures.iterations_per_s is not None
    assert row.figures.e2e_s is not None
    assert row.figures.e2e_s.n == row.figures.iterations_per_s.n == 2
    assert row.figures.transformer_s is not None
    assert 0 < row.figures.transformer_s.median < 1 / row.figures.iterations_per_s.min
    assert (row.figures.peak_reserved_bytes, row.figures.clocks) == (None, None)
    assert row.case.prompts > 1
    assert row.figures.warmup_run_s is not None
    assert (row.figures.warmup_compile_s, row.figures.warmup_cache_s) == (None, None)
    assert (row.figures.ssim, row.figures.psnr_db, row.figures.images_equal) == (1.0, None, True)
    assert (row.case.peak_kind, row.figures.peak_bytes is not None) == ("process", True)


def test_cold_and_warm_starts_of_the_compiler(finished: tuple[list[Event], Path]) -> None:
    row = bench_rows(finished[0])["compile"]
    assert row.status is RowStatus.DONE, row.error
    assert row.figures.warmup_run_s is None
    assert row.figures.warmup_compile_s is not None
    assert row.figures.warmup_cache_s is not None
    assert row.figures.warmup_cache_s < row.figures.warmup_compile_s
    assert len(row.figures.cold_calls) == 3
    assert row.figures.warmup_compile_s >= row.figures.cold_calls[0].elapsed_s
    assert (row.figures.cache_hits, row.figures.cache_misses) == (1, 0)
    assert row.figures.ssim is not None
    assert row.figures.ssim > 0.9999
    assert json.loads(row.case.compiler_config)["transformer"] == "blocks"


def test_no_speed_for_what_was_simulated(finished: tuple[list[Event], Path]) -> None:
    row = bench_rows(finished[0])[_SIMULATED]
    assert (row.status, row.case.execution) == (RowStatus.DONE, "simulated")
    assert "CUDA GPU" in row.execution_note
    assert row.case.quantized_layers > 0
    speeds = (row.figures.iterations_per_s, row.figures.e2e_s, row.figures.peak_bytes)
    warmups = (row.figures.warmup_run_s, row.figures.warmup_compile_s, row.figures.warmup_cache_s)
    assert {*speeds, *warmups} == {None}
    assert row.figures.ssim is not None
    assert row.figures.images_equal is False


def test_figures_land_one_by_one(finished: tuple[list[Event], Path]) -> None:
    updates = [e.row for e in finished[0] if isinstance(e, BenchRowUpdated)]
    counts = [
        row.figures.e2e_s.n for row in updates if row.label == "compile" and row.figures.e2e_s
    ]
    assert sorted(set(counts)) == [1, 2]
    said = details(finished[0])
    for phase in ("none: warm-up with run", "compile: warm-up with compilation"):
        assert phase in said
    assert said.index("compile: warm-up with cache") > said.index(
        "compile: warm-up with compilation"
    )


def test_the_results_stand_in_files(finished: tuple[list[Event], Path]) -> None:
    events, folder = finished
    result = BenchResult.model_validate_json((folder / "bench.json").read_bytes())
    assert {row.label: row for row in result.rows} == bench_rows(events)
    markdown = (folder / "bench.md").read_text()
    assert "| Metric | none | compile |" in markdown
    assert "1 of 1 graphs came from the cache" in markdown
    assert not (folder / "bench.partial.json").exists()
    assert "pixart-tui bench" in markdown
    artifacts = [event for event in events if isinstance(event, ArtifactWritten)]
    assert [a.role for a in artifacts if a.label] == ["baseline_image", *["bench_image"] * 2]
    runs = next((folder / "runs").iterdir())
    assert all((runs / a.path).exists() for a in artifacts)


@pytest.fixture
def kept(finished: tuple[list[Event], Path], monkeypatch: pytest.MonkeyPatch) -> CompileCache:
    """What the compiled row left behind."""
    monkeypatch.setenv("PIXART_TUI_CACHE", str(finished[1] / "cache"))
    return CompileCache.of("cpu")


def _warmups(events: list[Event], *, cached: bool) -> list[Warmup]:
    found = [event for event in events if isinstance(event, WarmupProgressed)]
    assert {event.label for event in found} <= {"compile"}
    return [event.warmup for event in found if event.warmup.cached is cached]


def _row(events: list[Event]) -> BenchRow:
    rows = [event.row for event in events if isinstance(event, BenchRowUpdated)]
    return [row for row in rows if row.label == "compile"][-1]


def test_the_region_is_told_while_it_compiles(finished: tuple[list[Event], Path]) -> None:
    warmups = _warmups(finished[0], cached=False)
    regions = [region for warmup in warmups for region in warmup.regions]
    assert {(region.name, region.found, region.graphs) for region in regions} == {(_BLOCKS, 2, 1)}
    states = list(dict.fromkeys(region.state for region in regions))
    assert states == [RegionState.WAITING, RegionState.COMPILING, RegionState.DONE]
    elapsed = [r.elapsed_s for r in regions if r.state is RegionState.COMPILING]
    assert len(elapsed) >= 3
    assert elapsed == sorted(elapsed)
    assert len(elapsed) <= 4 * elapsed[-1] + 2
    assert [warmup.finished for warmup in warmups] == [False] * (len(warmups) - 1) + [True]


def test_the_first_time_has_no_estimate(finished: tuple[list[Event], Path]) -> None:
    for cached in (False, True):
        warmups = _warmups(finished[0], cached=cached)
        assert {warmup.estimated_s for warmup in warmups} == {None}
        assert {region.estimated_s for warmup in warmups for region in warmup.regions} == {None}


def test_the_finished_figures_stay_in_the_row(finished: tuple[list[Event], Path]) -> None:
    row = _row(finished[0])
    assert row.status is RowStatus.DONE, row.error
    assert row.figures.warmup_compile_regions == _warmups(finished[0], cached=False)[-1].regions
    assert row.figures.warmup_cache_regions == _warmups(finished[0], cached=True)[-1].regions
    compiled, found = row.figures.warmup_compile_regions[0], row.figures.warmup_cache_regions[0]
    assert (compiled.compiled, compiled.from_cache) == (1, 0)
    assert (found.compiled, found.from_cache) == (0, 1)
    assert row.figures.cold_calls[0].elapsed_s > compiled.elapsed_s > found.elapsed_s > 0


def test_a_cache_that_was_carried_to_another_place_is_found(
    kept: CompileCache,
    finished: tuple[list[Event], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "cache.tar.gz"
    save_archive(kept, file)
    monkeypatch.setenv("PIXART_TUI_CACHE", str(tmp_path / "elsewhere"))
    load_archive(kept, file)
    _bring_times(finished[1] / "cache", tmp_path / "elsewhere")
    run = new_run(compilers=("compile",), repeats=1, warm_cache=True)
    events = work(run)
    row = _row(events)
    assert (row.figures.cache_hits, row.figures.cache_misses) == (1, 0)
    assert row.figures.warmup_cache_s is not None
    assert (row.figures.warmup_compile_s, row.case.warmup_note) == (None, WARM_CACHE_NOTE)
    assert _warmups(events, cached=False) == []
    assert row.figures.warmup_cache_regions[0].from_cache == 1
    warmups = _warmups(events, cached=True)
    last = _warmups(finished[0], cached=True)[-1]
    assert {warmup.estimated_s for warmup in warmups} == {last.elapsed_s}
    assert {w.regions[0].estimated_s for w in warmups} == {last.regions[0].elapsed_s}


def _bring_times(source: Path, target: Path) -> None:
    """An archive holds code and no times: those belong to the machine."""
    assert not (target / "warm-up").exists()
    shutil.copytree(source / "warm-up", target / "warm-up")


def test_a_row_that_the_cache_does_not_hold_fails(kept: CompileCache) -> None:
    run = new_run(compilers=("compile",), repeats=1, warm_cache=True, height=128)
    with pytest.raises(WorkError, match="1 of 2 rows failed"):
        work(run)
    run.poll()
    row = run.snapshot.benchmark.rows["compile"]
    assert row.status is RowStatus.FAILED
    assert "holds nothing for this row" in row.error
    assert row.figures.warmup_cache_s is None


def test_without_a_cache_nothing_starts() -> None:
    run = new_run(compilers=("compile",), warm_cache=True)
    with pytest.raises(RequestError, match="no compile cache"):
        work(run)
    assert not run.snapshot.benchmark.rows
