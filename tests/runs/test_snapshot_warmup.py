from __future__ import annotations

from pixart_tui.domain.benchmarks.rows import RowStatus
from pixart_tui.domain.events import AttemptFinished, AttemptStarted, BenchRowUpdated, Event
from pixart_tui.runs.journal import JournalEntry
from pixart_tui.runs.snapshot import RunSnapshot
from tests.tui.sample_runs import bench_rows, warmup


def _fold(*events: Event) -> RunSnapshot:
    snapshot = RunSnapshot()
    for event in (AttemptStarted(attempt=1), *events):
        # Through JSON, as the journal keeps it.
        text = JournalEntry(t=0.0, event=event).model_dump_json()
        snapshot.apply(JournalEntry.model_validate_json(text))
    return snapshot


def _row(status: RowStatus) -> BenchRowUpdated:
    return BenchRowUpdated(row=bench_rows(1)[1].replace(status=status))


def test_the_latest_of_each_row_is_kept() -> None:
    snapshot = _fold(_row(RowStatus.RUNNING), warmup(estimated=False), warmup())
    assert snapshot.benchmark.warmups == {"compile": warmup()}
    assert snapshot.benchmark.warming_up == warmup()


def test_it_is_over_when_it_ends_or_its_row_or_run_does() -> None:
    running = _row(RowStatus.RUNNING)
    assert _fold(running, warmup(finished=True)).benchmark.warming_up is None
    assert _fold(running, warmup(), _row(RowStatus.FAILED)).benchmark.warming_up is None
    assert _fold(running, warmup(), AttemptFinished(state="cancelled")).benchmark.warming_up is None


def test_a_resumed_attempt_begins_without_the_old_warm_ups() -> None:
    snapshot = _fold(_row(RowStatus.RUNNING), warmup(), AttemptStarted(attempt=2))
    assert snapshot.benchmark.warmups == {}
    assert snapshot.benchmark.warming_up is None
