"""A cold benchmark of the tiny model, its warm-up as it was told, and its cache carried away."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pixart_tui.domain.benchmark import BenchRow, RowStatus
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.events import BenchRowUpdated, Event, WarmupProgressed
from pixart_tui.domain.warmup import RegionState, Warmup
from pixart_tui.runs.cache_archive import load_archive, save_archive
from pixart_tui.runs.compile_cache import CompileCache
from pixart_tui.worker.bench_rows import WARM_CACHE_NOTE
from tests.worker.bench_runs import new_run, work

_BLOCKS = "transformer blocks"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cold")


@pytest.fixture(scope="module")
def cold(folder: Path) -> list[Event]:
    """A compiled row, measured with empty caches."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXART_TUI_RUNS", str(folder / "runs"))
        patch.setenv("PIXART_TUI_CACHE", str(folder / "cache"))
        return work(new_run(compilers=("compile",), repeats=1))


@pytest.fixture
def kept(cold: list[Event], folder: Path, monkeypatch: pytest.MonkeyPatch) -> CompileCache:
    """What that row left behind."""
    assert cold
    monkeypatch.setenv("PIXART_TUI_CACHE", str(folder / "cache"))
    return CompileCache.of("cpu")


def _warmups(events: list[Event], *, cached: bool) -> list[Warmup]:
    found = [event for event in events if isinstance(event, WarmupProgressed)]
    assert {event.label for event in found} <= {"compile"}
    return [event.warmup for event in found if event.warmup.cached is cached]


def _row(events: list[Event]) -> BenchRow:
    rows = [event.row for event in events if isinstance(event, BenchRowUpdated)]
    return [row for row in rows if row.label == "compile"][-1]


def test_the_region_is_told_while_it_compiles(cold: list[Event]) -> None:
    warmups = _warmups(cold, cached=False)
    regions = [region for warmup in warmups for region in warmup.regions]
    assert {(region.name, region.found, region.graphs) for region in regions} == {(_BLOCKS, 2, 1)}
    states = list(dict.fromkeys(region.state for region in regions))
    assert states == [RegionState.WAITING, RegionState.COMPILING, RegionState.DONE]
    elapsed = [r.elapsed_s for r in regions if r.state is RegionState.COMPILING]
    assert len(elapsed) >= 3
    assert elapsed == sorted(elapsed)
    assert len(elapsed) <= 4 * elapsed[-1] + 2
    assert [warmup.finished for warmup in warmups] == [False] * (len(warmups) - 1) + [True]


def test_the_first_time_has_no_estimate(cold: list[Event]) -> None:
    for cached in (False, True):
        warmups = _warmups(cold, cached=cached)
        assert {warmup.estimated_s for warmup in warmups} == {None}
        assert {region.estimated_s for warmup in warmups for region in warmup.regions} == {None}


def test_the_finished_figures_stay_in_the_row(cold: list[Event]) -> None:
    row = _row(cold)
    assert row.status is RowStatus.DONE, row.error
    assert row.warmup_compile_regions == _warmups(cold, cached=False)[-1].regions
    assert row.warmup_cache_regions == _warmups(cold, cached=True)[-1].regions
    compiled, found = row.warmup_compile_regions[0], row.warmup_cache_regions[0]
    assert (compiled.compiled, compiled.from_cache) == (1, 0)
    assert (found.compiled, found.from_cache) == (0, 1)
    assert row.cold_calls[0].elapsed_s > compiled.elapsed_s > found.elapsed_s > 0


def test_a_cache_that_was_carried_to_another_place_is_found(
    kept: CompileCache,
    cold: list[Event],
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "cache.tar.gz"
    save_archive(kept, file)
    monkeypatch.setenv("PIXART_TUI_CACHE", str(tmp_path / "elsewhere"))
    load_archive(kept, file)
    _bring_times(folder / "cache", tmp_path / "elsewhere")
    run = new_run(compilers=("compile",), repeats=1, warm_cache=True)
    events = work(run)
    row = _row(events)
    assert (row.cache_hits, row.cache_misses) == (1, 0)
    assert row.warmup_cache_s is not None
    assert (row.warmup_compile_s, row.warmup_note) == (None, WARM_CACHE_NOTE)
    assert _warmups(events, cached=False) == []
    assert row.warmup_cache_regions[0].from_cache == 1
    warmups = _warmups(events, cached=True)
    last = _warmups(cold, cached=True)[-1]
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
    row = run.snapshot.bench_rows["compile"]
    assert row.status is RowStatus.FAILED
    assert "holds nothing for this row" in row.error
    assert row.warmup_cache_s is None


def test_without_a_cache_nothing_starts() -> None:
    run = new_run(compilers=("compile",), warm_cache=True)
    with pytest.raises(RequestError, match="no compile cache"):
        work(run)
    assert not run.snapshot.bench_rows
