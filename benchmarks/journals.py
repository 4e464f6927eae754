"""Journals that a real run wrote: replayed in their own time, or repeated to a great length."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Final

from pixart_tui.runs.identity import identify_self
from pixart_tui.runs.journal import JournalEntry, JournalWriter, read_journal
from pixart_tui.runs.run import Run
from pixart_tui.worker.live import live_report

LONG_EVENTS: Final = 100_000
_REPLAYED_FROM: Final = ("sample_measured", "layer_measured", "call", "warmup")
"""Where the watching begins: loading and baselines tell little."""
_MEASURED: Final = ("sample_measured", "layer_measured")


@contextmanager
def replayed(run: Run, name: str) -> Iterator[Run]:
    """A run that writes an ended run's journal again, with the same pauses and syncs.

    This process stands for the worker: its processor time and memory are what the gauges tell.
    """
    entries = read_journal(run.paths.events)
    first = next(n for n, entry in enumerate(entries) if entry.event.type in _REPLAYED_FROM)
    copy = _copy(run, name, entries[:first])
    copy.paths.worker.write_text(identify_self(1).model_dump_json())
    stopped = threading.Event()

    def write() -> None:
        before_s = entries[first - 1].t
        with JournalWriter(copy.paths.events) as journal:
            for entry in entries[first:-1]:
                if stopped.wait(entry.t - before_s):
                    return
                before_s = entry.t
                journal.append(entry.event)

    thread = threading.Thread(target=write, daemon=True)
    try:
        with live_report(copy.paths.live, "cpu"):
            thread.start()
            yield copy
    finally:
        stopped.set()
        thread.join()
        # It would look alive, and a run that waits for the device would wait for it.
        shutil.rmtree(copy.paths.directory)


def described(run: Run) -> dict[str, object]:
    """What is replayed: of how many layers or samples, and how fast they came."""
    run.poll()
    entries = read_journal(run.paths.events)
    known = [entry.t for entry in entries if entry.event.type in _MEASURED]
    conditions = (
        run.snapshot.profiling.planned.conditions if run.snapshot.profiling.planned else None
    )
    return {
        "model": conditions.model if conditions else None,
        "method": conditions.method if conditions else None,
        "total": run.snapshot.total,
        "measured_events": len(known),
        "seconds": round(known[-1] - known[0], 1),
    }


def long_run(run: Run) -> Run:
    """A copy of an ended run whose stages and measurements repeat up to that many events."""
    entries = read_journal(run.paths.events)
    repeated = [entry for entry in entries if entry.event.type in ("stage", "layer_measured")]
    missing = LONG_EVENTS - len(entries)
    return _copy(run, "10000000", [*entries[:-1], *islice(cycle(repeated), missing), entries[-1]])


def _copy(run: Run, name: str, entries: list[JournalEntry]) -> Run:
    target = run.paths.directory.with_name(name)
    shutil.copytree(run.paths.directory, target)
    lines = (entry.model_dump_json() + "\n" for entry in entries)
    Path(target / "events.jsonl").write_text("".join(lines))
    return Run.open(target)
