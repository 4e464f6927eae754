"""A run as plain progress on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

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
        while _poll(run):
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
    while True:
        going = _poll(run)
        line = _line(run)
        if line != shown:
            click.echo(line, err=True)
            shown = line
        if not going:
            return
        time.sleep(_POLL_S)


def _line(run: Run) -> str:
    """A line that changes a few times a stage, so that logs stay short."""
    snapshot = run.snapshot
    stage = snapshot.stage
    if stage is None or stage.stage != "measuring":
        return describe_stage(run)
    tenth = snapshot.done * _LINES_PER_STAGE // max(snapshot.total, 1)
    done = snapshot.total * tenth // _LINES_PER_STAGE
    return f"measuring: {done} of {snapshot.total} layers or more are done"


def _counts(run: Run) -> str:
    snapshot = run.snapshot
    if not snapshot.total:
        return ""
    eta_s = snapshot.eta_s
    eta = f", about {eta_s:.0f} s left" if eta_s is not None else ""
    return f"{snapshot.done}/{snapshot.total}{eta}"


def _poll(run: Run) -> bool:
    """Takes in what is new and tells whether the run goes on."""
    run.poll()
    return run.state() in (RunState.QUEUED, RunState.RUNNING)
