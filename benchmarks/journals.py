"""A journal that is far longer than a run writes today, made of what a real run wrote."""

from __future__ import annotations

import shutil
from itertools import cycle, islice
from typing import Final

from pixart_tui.runs.journal import JournalEntry, read_journal
from pixart_tui.runs.run import Run

LONG_EVENTS: Final = 100_000


def long_run(run: Run) -> Run:
    """A copy of an ended run whose stages and measurements repeat up to that many events."""
    entries = read_journal(run.paths.events)
    repeated = [entry for entry in entries if entry.event.type in ("stage", "layer_measured")]
    missing = LONG_EVENTS - len(entries)
    target = run.paths.directory.with_name("10000000")
    shutil.copytree(run.paths.directory, target)
    with (target / "events.jsonl").open("w") as file:
        for entry in [*entries[:-1], *islice(cycle(repeated), missing), entries[-1]]:
            file.write(_line(entry))
    return Run.open(target)


def _line(entry: JournalEntry) -> str:
    return entry.model_dump_json() + "\n"
