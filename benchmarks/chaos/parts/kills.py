"""Workers and viewers are killed at random moments, and between any two changes of a file."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos.kinds import COMMANDS, filled, measured
from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.processes import ended, forked, start_worker
from benchmarks.chaos.shim import Aim, Mode
from benchmarks.chaos.trying import WORK_LIMIT_S, Try
from pixart_tui.cli.main import main
from pixart_tui.runs.run import Run, RunState

KINDS: Final = tuple(kind for kind in COMMANDS if kind != "int8")
_WORKERS: Final = 150
_VIEWERS: Final = 50
_MODES: Final = (None, Mode.KILL_BEFORE, Mode.KILL_HALFWAY)
_WEIGHTS: Final = {"bench": 1, "export": 2, "generate": 2}
_SIGNALS: Final = (signal.SIGKILL, signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


def _dealt(number: int) -> str:
    """A kind for each try, dear ones less often."""
    deck = [kind for kind in KINDS for _ in range(_WEIGHTS.get(kind, 3))]
    return deck[number * 7 % len(deck)]


def _worker_cases(references: References) -> list[Case]:
    return [
        Case(f"worker of {_dealt(n)}", partial(_kill_workers, kind=_dealt(n)))
        for n in range(_WORKERS)
        if _dealt(n) in references
    ]


def _kill_workers(one: Try, kind: str) -> None:
    """Kills up to three workers of one run, then lets it end."""
    directory = one.new_run(kind)
    before: list[Any] = []
    for _ in range(one.random.choice((1, 1, 2, 3))):
        _kill_one(one, kind, directory)
        before = one.interrupted(directory, before)
        if _ended(directory) is RunState.DONE:
            break
    else:
        one.resume(directory, real=one.random.random() < 0.15)
    one.interrupted(directory, before)
    one.same_as_reference(kind)


def _kill_one(one: Try, kind: str, directory: Path) -> None:
    source, mode = one.references[kind], one.random.choice(_MODES)
    if mode is not None:
        call = one.random.randint(1, max(1, source.calls))
        one.what += f", {mode.name.lower()} change {call}"
        one.work(directory, Aim(mode, call))
        return
    after_s = one.random.uniform(0, source.seconds)
    one.what += f", after {after_s:.2f} s"
    pid = start_worker(directory, one.setting())
    time.sleep(after_s)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    ended(pid, 10.0)


def _viewer_cases(references: References) -> list[Case]:
    return [
        Case(f"viewer of {_dealt(n)}", partial(_kill_viewer, kind=_dealt(n)))
        for n in range(_VIEWERS)
        if _dealt(n) in references
    ]


def _kill_viewer(one: Try, kind: str) -> None:
    """Ends the command that started a run; the run goes on, or is cancelled and resumed."""
    arguments = filled(kind, one.references[kind].directory.parent)
    number = one.random.choice(_SIGNALS)
    after_s = one.random.uniform(0.2, 6.0 + one.references[kind].seconds)
    one.what += f", {number.name} after {after_s:.2f} s"
    with Path(os.devnull).open("r+b") as nothing, (one.place / "told").open("w+b") as told:
        files = (nothing.fileno(), told.fileno(), told.fileno())
        pid = forked(lambda: main(arguments), one.setting(), files)
        time.sleep(after_s)
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        code = ended(pid, 60.0)
        if b"Traceback" in (one.place / "told").read_bytes():
            one.blame("tracebacks", one.what)
    if code not in (0, 1, 2, 130, -number):
        one.blame("exits", f"{one.what}: {code}")
    _see_to_the_end(one, kind)


def _see_to_the_end(one: Try, kind: str) -> None:
    directories = list(one.runs.iterdir())
    if not directories:  # it was ended before there was a run
        return
    directory = directories[0]
    if not (directory / "request.json").exists():
        one.blame("left", "a run's directory without a request")
        return
    before = _ended(directory)
    known = measured(directory / "events.jsonl")
    if before is not RunState.DONE:
        one.resume(directory)
    one.interrupted(directory, known)
    one.same_as_reference(kind)


def _ended(directory: Path) -> RunState:
    """The state of a run once no worker is on it."""
    deadline_s = time.monotonic() + WORK_LIMIT_S
    while time.monotonic() < deadline_s:
        run = Run.open(directory)
        run.poll()
        if run.state().is_finished:
            return run.state()
        time.sleep(0.1)
    return RunState.RUNNING


PARTS: Final = (
    Part("workers", "killed workers", KINDS, _worker_cases),
    Part("viewers", "killed viewers", KINDS, _viewer_cases),
)
