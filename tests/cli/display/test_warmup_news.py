from __future__ import annotations

from pixart_tui.cli.display.warmup import WarmupNews, describe_warmup
from pixart_tui.domain.benchmarks.rows import BenchRow, RowCase, RowStatus
from pixart_tui.domain.benchmarks.warmup import Region, RegionState, Warmup
from pixart_tui.domain.events import BenchRowUpdated, Event, WarmupProgressed
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.snapshot import RunSnapshot


def _seen(region: Region, *, cached: bool = False, finished: bool = False) -> WarmupProgressed:
    found = Warmup(cached=cached, regions=(region,), elapsed_s=1.0, finished=finished)
    return WarmupProgressed(label="compile", warmup=found)


def _row(status: RowStatus) -> BenchRowUpdated:
    case = RowCase(
        label="compile",
        model="pixart-emoji",
        height=128,
        width=128,
        steps=20,
        compiler="compile",
        dtype="float32",
        peak_kind="process",
    )
    return BenchRowUpdated(row=BenchRow(case=case, status=status))


def _snapshot(*events: Event) -> RunSnapshot:
    snapshot = RunSnapshot()
    for event in events:
        snapshot.apply(JournalEntry(t=0.0, event=event))
    return snapshot


_BLOCKS = Region(name="transformer blocks", found=28, graphs=1)
_COMPILING = _BLOCKS.replace(state=RegionState.COMPILING, elapsed_s=2.0)


def test_a_line_for_each_change_and_none_for_time_alone() -> None:
    news = WarmupNews()
    told = [
        list(news.lines(_snapshot(_seen(region))))
        for region in (
            _BLOCKS,
            _COMPILING,
            _COMPILING.replace(elapsed_s=9.0),
            _BLOCKS.replace(state=RegionState.DONE, compiled=1, elapsed_s=12.0),
        )
    ]
    blocks = "compile: transformer blocks"
    assert told == [
        [f"{blocks}: waiting, 28 found, 0 of 1 ready"],
        [
            f"{blocks}: compiling, 28 found, 0 of 1 ready, 2.0 s; "
            "how long it takes is not known the first time"
        ],
        [],
        [f"{blocks}: done, 28 found, 1 of 1 ready, 12.0 s"],
    ]


def test_an_estimate_is_told_where_there_is_one() -> None:
    region = _COMPILING.replace(estimated_s=12.0)
    (line,) = WarmupNews().lines(_snapshot(_seen(region)))
    assert line.endswith("2.0 s, about 10 s left")


def test_a_start_with_caches_is_told_anew() -> None:
    news = WarmupNews()
    assert len(list(news.lines(_snapshot(_seen(_BLOCKS))))) == 1
    assert len(list(news.lines(_snapshot(_seen(_BLOCKS, cached=True))))) == 1


def test_what_compiles_now_stands_beside_the_bar() -> None:
    running, done = _row(RowStatus.RUNNING), _row(RowStatus.DONE)
    assert describe_warmup(_snapshot(running, _seen(_COMPILING))) == ", transformer blocks 2 s"
    assert describe_warmup(_snapshot(running, _seen(_BLOCKS))) == ""
    assert describe_warmup(_snapshot(running, _seen(_COMPILING, finished=True))) == ""
    assert describe_warmup(_snapshot(done, _seen(_COMPILING))) == ""
    assert describe_warmup(_snapshot()) == ""
