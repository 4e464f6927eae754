"""Benchmark runs of the tiny model, journalled as the worker does it."""

from __future__ import annotations

from collections.abc import Callable

import psutil

from pixart_tui.domain.benchmarks.rows import BenchRow
from pixart_tui.domain.events import BenchFinished, Event, StageChanged
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.runs.catalogue import create_run, find_run
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.runs.run import Run
from pixart_tui.worker.jobs.bench import run_bench

Listener = Callable[[Event], None]


def new_run(**fields: object) -> Run:
    common: dict[str, object] = {
        "model": "synthetic:alpha-tiny",
        "compilers": ("none",),
        "num_inference_steps": 3,
        "repeats": 2,
    }
    return create_run(BenchRequest.model_validate(common | fields))


def work(
    run: Run,
    listen: Listener = lambda _: None,
    check: Callable[[], None] = lambda: None,
    tell_pace: Callable[[str, float], None] = lambda _label, _pace: None,
) -> list[Event]:
    """One attempt in this process; gives what it emitted."""
    run = find_run(run.id)
    assert run.record is not None
    assert isinstance(run.record.request, BenchRequest)
    events: list[Event] = []
    with JournalWriter(run.paths.events) as journal:

        def emit(event: Event) -> None:
            run.snapshot.apply(journal.append(event))
            events.append(event)
            listen(event)

        run_bench(run, run.record.request, emit, check, tell_pace)
    return events


def bench_rows(events: list[Event]) -> dict[str, BenchRow]:
    """The rows of the result, by label."""
    results = [event.result for event in events if isinstance(event, BenchFinished)]
    return {row.label: row for row in results[0].rows}


def details(events: list[Event]) -> list[str]:
    """What the stages said, in order."""
    return [event.detail for event in events if isinstance(event, StageChanged)]


def case_processes(parent: psutil.Process | None = None) -> list[psutil.Process]:
    """The children that work on a case."""
    children = (parent or psutil.Process()).children(recursive=True)
    return [child for child in children if "pixart_tui.worker.bench.case" in _command(child)]


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""
