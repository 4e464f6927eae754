"""A run as plain progress on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pixart_tui.cli.display.warmup import WarmupNews, describe_warmup
from pixart_tui.cli.display.writing import console, say
from pixart_tui.domain.plain_text import visible
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.reporting.look_text import look_lines
from pixart_tui.runs.memory_use import describe_memory
from pixart_tui.runs.run import Run, RunState
from pixart_tui.runs.snapshot import RunSnapshot

_POLL_S: Final = 0.25
_LINES_PER_STAGE: Final = 10


def show_progress(run: Run) -> None:
    """Shows a run's progress until it ends."""
    say(f"run {run.id}; if this closes: pixart-tui attach {run.id}", err=True)
    if sys.stderr.isatty():
        _show_bar(run)
    else:
        _print_lines(run)


def describe_stage(run: Run) -> str:
    """Where a run is, in a few words."""
    if note := run.stopped_note:
        return note
    stage = run.snapshot.stage
    if stage is None:
        return str(run.state())
    return visible(f"{stage.stage} {stage.detail}".rstrip())


def _show_bar(run: Run) -> None:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[counts]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(err=True), refresh_per_second=4) as progress:
        task = progress.add_task("starting", total=None, counts="")
        news = _News()
        while _poll(run):
            for told in news.lines(run.snapshot):
                progress.console.print(told, highlight=False)
            progress.update(
                task,
                description=describe_stage(run)[:48],
                total=run.snapshot.total or None,
                completed=run.snapshot.done,
                counts=_counts(run),
            )
            time.sleep(_POLL_S)


def _print_lines(run: Run) -> None:
    shown = ""
    news, warmups = _News(), WarmupNews()
    while True:
        going = _poll(run)
        for told in (*news.lines(run.snapshot), *warmups.lines(run.snapshot)):
            say(told, err=True)
        if (line := _line(run)) != shown:
            say(line + _pace(run), err=True)
            shown = line
        if not going:
            return
        time.sleep(_POLL_S)


@dataclass
class _News:
    """Tracks events that are reported once, beside the progress."""

    _noticed: int = 0
    _memory: str = ""
    _look: Look | None = None

    def lines(self, snapshot: RunSnapshot) -> Iterator[str]:
        """Yields the news since the last call."""
        for notice in snapshot.notices[self._noticed :]:
            yield f"notice: {notice}"
        self._noticed = len(snapshot.notices)
        if (memory := describe_memory(snapshot)) != self._memory:
            self._memory = memory
            yield memory
        look, plan = snapshot.profiling.look, snapshot.profiling.planned
        if look is not None and plan is not None and look != self._look:
            self._look = look
            yield from look_lines(look, plan.conditions.samples, snapshot.profiling.quant_types)


def _line(run: Run) -> str:
    """A line that changes a few times a stage, so that logs stay short."""
    snapshot = run.snapshot
    stage = snapshot.stage
    if stage is None or stage.stage != "measuring" or run.stopped_worker():
        return describe_stage(run)
    every = max(snapshot.total // _LINES_PER_STAGE, 1)
    done = snapshot.done if snapshot.done >= snapshot.total else snapshot.done // every * every
    more = " or more" if every > 1 and done < snapshot.total else ""
    request = run.record.request if run.record else None
    unit = request.unit if isinstance(request, ProfileRequest) else "layers"
    return f"{stage.stage}: {done} of {snapshot.total} {unit}{more} are done"


def _counts(run: Run) -> str:
    snapshot = run.snapshot
    counts = f"{snapshot.done}/{snapshot.total}{_pace(run)}" if snapshot.total else ""
    return visible(counts + describe_warmup(snapshot))


def _pace(run: Run) -> str:
    """How fast it is and how long it will take, where a layer's time is known."""
    eta_s, images_per_s = run.snapshot.eta_s, run.snapshot.profiling.images_per_s
    if eta_s is None:
        return ""
    pace = f", {images_per_s:.2f} images/s" if images_per_s is not None else ""
    return f"{pace}, about {eta_s:.0f} s left"


def _poll(run: Run) -> bool:
    """Takes in what is new and tells whether the run goes on."""
    run.poll()
    return run.state() in (RunState.QUEUED, RunState.RUNNING)
