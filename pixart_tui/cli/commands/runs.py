"""``pixart-tui runs | attach | resume | cancel | delete | logs``."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import click

from pixart_tui.cli.display.follow import follow
from pixart_tui.cli.display.writing import ask, say, say_as_it_is, say_json
from pixart_tui.cli.options.common import display_option
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.plain_text import last_state
from pixart_tui.runs.catalogue import delete_run, find_run, list_runs, locate_run
from pixart_tui.runs.process.control import cancel as cancel_worker
from pixart_tui.runs.process.control import start_worker
from pixart_tui.runs.run import Run, RunState

_POLL_S = 0.25


@click.command(
    epilog="\b\nExamples:\n  pixart-tui runs\n  pixart-tui runs --json | jq '.[0].state'"
)
@click.option("--json", "as_json", is_flag=True, help="A list of objects, newest first.")
def runs(as_json: bool) -> None:
    """List all runs, newest first."""
    found = list_runs()
    for run in found:
        run.poll()
    if as_json:
        say_json([describe(run) for run in found])
    else:
        from pixart_tui.cli.display.tables import print_runs

        print_runs(found)


@click.command(epilog="\b\nExamples:\n  pixart-tui attach last\n  pixart-tui attach 3f")
@click.argument("run")
@display_option
def attach(run: str, display: str) -> int:
    """Watch RUN (an id, a unique prefix of one, or last) until it ends."""
    found = locate_run(run)
    found.refuse_removed()
    return follow(found, display)


@click.command(epilog="\b\nExample:\n  pixart-tui resume last")
@click.argument("run")
@display_option
def resume(run: str, display: str) -> int:
    """Go on with RUN where it stopped; what was measured is kept."""
    found = find_run(run)
    found.refuse_removed()
    if found.record is None:
        raise RequestError(
            f"run {found.id} cannot be read", cause=found.problem, next_step="start a new run"
        )
    if found.state() is RunState.DONE and not found.damage:
        raise RequestError(
            f"run {found.id} is done", next_step=f"see: pixart-tui attach {found.id}"
        )
    start_worker(found)
    return follow(found, display)


@click.command(epilog="\b\nExamples:\n  pixart-tui cancel last\n  pixart-tui cancel 3fa9 --force")
@click.argument("run")
@click.option("--force", is_flag=True, help="End it at once, even if it is stopped or hangs.")
def cancel(run: str, force: bool) -> None:
    """Stop RUN; what was measured is kept, and resume goes on with it."""
    found = find_run(run)
    cancel_worker(found, force=force)
    if found.state() is not RunState.CANCELLED:
        raise WorkError(f"run {found.id} ended as {found.state()} before it could be cancelled")
    say(f"cancelled {found.id}; go on with: pixart-tui resume {found.id}", err=True)


@click.command(epilog="\b\nExample:\n  pixart-tui delete 3fa9 --yes")
@click.argument("run")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(run: str, yes: bool) -> None:
    """Delete RUN's directory; the files that it wrote elsewhere stay."""
    found = find_run(run)
    if not yes:
        ask(f"delete run {found.id} and its measurements?")
    delete_run(found)
    say(f"deleted {found.id}", err=True)


@click.command(epilog="\b\nExamples:\n  pixart-tui logs last\n  pixart-tui logs last --follow")
@click.argument("run")
@click.option("--follow", "-f", "following", is_flag=True, help="Wait for more until it ends.")
def logs(run: str, following: bool) -> None:
    """Print what RUN's worker and its libraries printed; to a terminal without control codes."""
    found = find_run(run)
    texts = _log(found, following)
    for text in _cleaned(texts) if sys.stdout.isatty() else texts:
        say_as_it_is(text)


def _cleaned(texts: Iterator[str]) -> Iterator[str]:
    """Whole lines with nothing in them that a terminal would act on."""
    rest = ""
    for text in texts:
        *lines, rest = (rest + text).split("\n")
        yield from (last_state(line) + "\n" for line in lines)
    if rest:
        yield last_state(rest) + "\n"


def _log(run: Run, following: bool) -> Iterator[str]:
    if not run.paths.log.exists():
        cause = "it was removed" if run.worker() else "its worker never started"
        raise RequestError(f"run {run.id} has no log", cause=cause, next_step="resume it")
    with run.paths.log.open(encoding="utf-8", errors="replace", newline="") as file:
        while True:
            run.poll()
            finished = run.state().is_finished
            if file.tell() > os.fstat(file.fileno()).st_size:  # its older half was dropped
                file.seek(0)
            yield file.read()
            if finished or not following:
                return
            time.sleep(_POLL_S)


def describe(run: Run) -> dict[str, Any]:
    """A run as ``runs --json`` prints it."""
    request = run.record.request if run.record else None
    worker = run.worker()
    trouble = run.trouble()
    return {
        "id": run.id,
        "kind": request.kind if request else None,
        "state": str(run.state()),
        "stopped": run.stopped_worker() is not None,
        "model": request.model if request else None,
        "done": run.snapshot.done,
        "total": run.snapshot.total,
        "eta_s": run.snapshot.eta_s,
        "created_s": run.created_s,
        "pid": worker.pid if worker else None,
        "output": request.output if request else None,
        "directory": str(run.paths.directory),
        "error": trouble.model_dump() if trouble else None,
        "problem": run.problem or run.journal_problem or run.damage or None,
    }
