"""All runs: creating, listing, finding and deleting them."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.requests import AnyRequest
from pixart_tui.runs.files import descriptor_of, write_atomically
from pixart_tui.runs.last_word import reserve
from pixart_tui.runs.own_files import unwritten
from pixart_tui.runs.paths import RunPaths, runs_root
from pixart_tui.runs.run import Run, RunRecord


def create_run(request: AnyRequest) -> Run:
    """Makes a run's directory with its request; no worker starts.

    Raises:
        WorkError: The directory cannot be written to.
    """
    run_id = secrets.token_hex(4)
    paths = RunPaths(runs_root() / run_id)
    if request.output and descriptor_of(Path(request.output)) is not None:
        # What this process has open, as /dev/stdout, its worker has not.
        own = str(paths.artifacts.absolute() / "output.json")
        request = request.replace(output=own)
    record = RunRecord(id=run_id, created_s=time.time(), cwd=str(Path.cwd()), request=request)
    with suppress(OSError):  # the first write says why
        # Prompts, images and logs are the user's own.
        paths.directory.mkdir(mode=0o700, parents=True)
    try:
        write_atomically(paths.request, record.model_dump_json(indent=1) + "\n")
        _reserve(paths.last_word)
    except WorkError as error:
        shutil.rmtree(paths.directory, ignore_errors=True)
        error.next_step = "free some space, or set PIXART_TUI_RUNS to a directory of yours"
        raise
    return Run.open(paths.directory)


def list_runs() -> list[Run]:
    """Every run, newest first, journals not read yet."""
    root = runs_root()
    if not root.is_dir():
        return []
    runs = [Run.open(entry) for entry in root.iterdir() if entry.is_dir()]
    return sorted(runs, key=lambda run: run.created_s, reverse=True)


def find_run(reference: str, kinds: Collection[str] = ()) -> Run:
    """The run with this id, unique prefix of an id, or ``last``, its journal read.

    Args:
        reference: What the user typed.
        kinds: The kinds of run that ``last`` means; empty for all.

    Raises:
        RequestError: There is none, or several.
    """
    run = locate_run(reference, kinds)
    run.poll()
    return run


def locate_run(reference: str, kinds: Collection[str] = ()) -> Run:
    """The same run with its journal not read yet.

    Args:
        reference: What the user typed.
        kinds: As of ``find_run``.

    Raises:
        RequestError: There is none, or several.
    """
    runs = list_runs()
    if reference == "last" and kinds:
        runs = [run for run in runs if run.record and run.record.request.kind in kinds] or runs
    if not runs:
        raise RequestError(
            "there are no runs", cause=str(runs_root()), next_step="start one: pixart-tui profile"
        )
    matches = runs[:1] if reference == "last" else [r for r in runs if r.id.startswith(reference)]
    if len(matches) != 1 or not reference:
        raise _not_one(reference, matches)
    return matches[0]


def delete_run(run: Run) -> None:
    """Deletes a finished run's directory; what it wrote elsewhere stays.

    Raises:
        RequestError: Its worker lives.
    """
    run.poll()
    if not run.state().is_finished:
        raise RequestError(
            f"run {run.id} is {run.state()}",
            next_step=f"cancel it first: pixart-tui cancel {run.id}",
        )
    while run.paths.directory.exists():
        with suppress(FileNotFoundError):  # another process deletes it at the same time
            shutil.rmtree(run.paths.directory)


def _reserve(path: Path) -> None:
    try:
        reserve(path)
    except OSError as error:
        raise unwritten(path, error) from error


def _not_one(reference: str, matches: list[Run]) -> RequestError:
    found = ", ".join(run.id for run in matches[:5]) or f"no id in {runs_root()} begins with it"
    few_or_none = "several runs begin with" if matches else "no run is called"
    return RequestError(
        f'{few_or_none} "{reference}"', cause=found, next_step="list them: pixart-tui runs"
    )
