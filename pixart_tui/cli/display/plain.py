"""A run as plain progress on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from pixart_tui.cli.display.warmup import WarmupNews, describe_warmup
from pixart_tui.runs.run import Run, RunState

_POLL_S: Final = 0.25
_LINES_PER_STAGE: Final = 10


def show_progress(run: Run) -> None:
    """Shows a run's progress until it ends."""
    click.echo(f"run {run.id}; if this closes: pixart-tui attach {run.id}", err=True)
    if sys.stderr.isatty():
        _show_bar(run)
    else:
        _print_lines(run)


def describe_stage(run: Run) -> str:
    """Where a run is, in a few words."""
    stage = run.snapshot.stage
    if stage is None:
        return str(run.state())
    return f"{stage.stage} {stage.detail}".rstrip()


def _show_bar(run: Run) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=20),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), refresh_per_second=4) as progress:
        task = progress.add_task("starting", total=None, counts="")
        told, noticed = "", 0
        while _poll(run):
            for notice in run.snapshot.notices[noticed:]:
                progress.console.print(f"notice: {notice}", highlight=False, markup=False)
            noticed = len(run.snapshot.notices)
            if (batch := describe_batch(run)) != told:
                progress.console.print(batch, highlight=False)
                told = batch
            progress.update(
                task,
                description=describe_stage(run)[:48],
                total=run.snapshot.total or None,
                completed=run.snapshot.done,
                counts=_counts(run),
            )
            time.sleep(_POLL_S)


def _print_lines(run: Run) -> None:
    shown = batch = ""
    noticed = 0
    news = WarmupNews()
    while True:
        going = _poll(run)
        for notice in run.snapshot.notices[noticed:]:
            click.echo(f"notice: {notice}", err=True)
        noticed = len(run.snapshot.notices)
        if (now := describe_batch(run)) != batch:
            click.echo(now, err=True)
            batch = now
        for happened in news.lines(run.snapshot):
            click.echo(happened, err=True)
        if (line := _line(run)) != shown:
            click.echo(line + _pace(run), err=True)
            shown = line
        if not going:
            return
        time.sleep(_POLL_S)


def _line(run: Run) -> str:
    """A line that changes a few times a stage, so that logs stay short."""
    snapshot = run.snapshot
    stage = snapshot.stage
    if stage is not None and stage.stage in ("calibrating", "confirming"):
        return stage.stage
    if stage is None or stage.stage not in ("measuring", "probing"):
        return describe_stage(run)
    tenth = snapshot.done * _LINES_PER_STAGE // max(snapshot.total, 1)
    done = snapshot.total * tenth // _LINES_PER_STAGE
    return f"{stage.stage}: {done} of {snapshot.total} layers or more are done"


def _counts(run: Run) -> str:
    snapshot = run.snapshot
    counts = f"{snapshot.done}/{snapshot.total}{_pace(run)}" if snapshot.total else ""
    return counts + describe_warmup(snapshot)


def _pace(run: Run) -> str:
    """How fast it is and how long it will take, where a layer's time is known."""
    eta_s, images_per_s = run.snapshot.eta_s, run.snapshot.images_per_s
    if eta_s is None:
        return ""
    pace = f", {images_per_s:.2f} images/s" if images_per_s is not None else ""
    return f"{pace}, about {eta_s:.0f} s left"


def describe_batch(run: Run) -> str:
    """The batch size and why it is not what it was; empty while nothing went wrong."""
    batch = run.snapshot.batch
    if batch is None or not batch.reason:
        return ""
    return f"images in a batch: {batch.images}; {batch.reason}"


def _poll(run: Run) -> bool:
    """Takes in what is new and tells whether the run goes on."""
    run.poll()
    return run.state() in (RunState.QUEUED, RunState.RUNNING)
