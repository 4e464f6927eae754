"""Clocks that are an hour off, process ids that are used again, other boots and other hosts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.processes import ended, start_worker
from benchmarks.chaos.trying import Try

_KINDS: Final = ("adjoint", "compare", "verify")
_HOUR: Final = 3600


def _cases(references: References) -> list[Case]:
    offsets = (-_HOUR, 0, _HOUR)
    found = [
        Case(f"{kind}: worker {first} s, resumed {second} s", partial(_moved, kind, first, second))
        for kind in _KINDS
        if kind in references
        for first in offsets
        for second in offsets
        if first or second
    ]
    found += [
        Case(f"viewer {offset} s: {state}", partial(_viewed, offset, state))
        for offset in offsets
        for state in ("queued", "running", "done")
    ]
    return [
        *found,
        Case("a pid that is used again", _reused_pid),
        Case("another boot", _other_boot),
        Case("another host, its heartbeat old", partial(_other_host, 600)),
        Case("another host, its heartbeat fresh", partial(_other_host, 0)),
        Case("a run from the future that never started", _from_the_future),
    ]


def _moved(kind: str, first: int, second: int, one: Try) -> None:
    """A worker is killed, and the next one finds another time."""
    directory = one.new_run(kind)
    pid = start_worker(directory, one.setting(clock_s=first))
    time.sleep(one.random.uniform(0, one.references[kind].seconds))
    os.kill(pid, signal.SIGKILL)
    ended(pid, 10.0)
    before = one.interrupted(directory, [])
    for arguments in (("runs",), ("attach", directory.name, "--display", "plain")):
        one.command(*arguments, clock_s=second)
    if json.loads(one.command("runs", "--json").out)[0]["state"] != "done":
        one.resume(directory, clock_s=second)
    one.interrupted(directory, before)
    found = one.command("attach", directory.name, "--display", "plain")
    if " -" in found.text and "s left" in found.text:
        one.blame("wrong", "a time below zero")
    one.same_as_reference(kind)


def _viewed(offset: int, state: str, one: Try) -> None:
    directory = one.copy_of_run("adjoint") if state == "done" else one.new_run("adjoint")
    if state == "running":
        _claim(directory, os.getpid(), _ticks(os.getpid()))
        (directory / "heartbeat").touch()
        (directory / "events.jsonl").write_text(
            json.dumps({"v": 1, "t": time.time(), "event": _STARTED}) + "\n"
        )
    found = one.command("runs", "--json", clock_s=offset)
    told = json.loads(found.out)[0]["state"]
    # A run that nobody works on is old for a clock that is an hour ahead, and that is right.
    if told != state and not (state == "queued" and offset > 0):
        one.blame("wrong", f"told {told}")


_STARTED: Final = {"type": "attempt_started", "attempt": 1}


def _claim(directory: Path, pid: int, ticks: int, **other: Any) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    claimed = {"pid": pid, "start_ticks": ticks, "host": os.uname().nodename, "boot_id": boot}
    (directory / "worker.json").write_text(json.dumps({**claimed, "attempt": 1, **other}))


def _ticks(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])


def _stale_but_safe(one: Try, directory: Path, bystander: int | None) -> None:
    """The run is dead, whoever has its pid lives on, and it can be resumed."""
    (directory / "events.jsonl").write_text(
        json.dumps({"v": 1, "t": time.time(), "event": _STARTED}) + "\n"
    )
    told = json.loads(one.command("runs", "--json").out)[0]["state"]
    if told != "stale":
        one.blame("wrong", f"told {told}, not stale")
    if one.command("cancel", directory.name).code == 0:
        one.blame("wrong", "it could be cancelled")
    if bystander is not None and not Path(f"/proc/{bystander}/exe").exists():
        one.blame("foreign", "a process that has nothing to do with it was ended")
    one.resume(directory)
    one.same_as_reference("adjoint")


def _reused_pid(one: Try) -> None:
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(120)"])
    directory = one.new_run("adjoint")
    _claim(directory, sleeping.pid, _ticks(sleeping.pid) - 1)
    _stale_but_safe(one, directory, sleeping.pid)
    sleeping.kill()
    sleeping.wait()


def _other_boot(one: Try) -> None:
    directory = one.new_run("adjoint")
    _claim(directory, os.getpid(), _ticks(os.getpid()), boot_id="another")
    _stale_but_safe(one, directory, os.getpid())


def _other_host(age_s: int, one: Try) -> None:
    directory = one.new_run("adjoint")
    _claim(directory, os.getpid(), _ticks(os.getpid()), host="elsewhere")
    beat = directory / "heartbeat"
    beat.touch()
    os.utime(beat, (time.time() - age_s, time.time() - age_s))
    if age_s:
        _stale_but_safe(one, directory, os.getpid())
        return
    found = one.command("resume", directory.name, "--display", "none")
    if found.code != 2:
        one.blame("wrong", f"resume beside a worker on another host: {found.code}")


def _from_the_future(one: Try) -> None:
    directory = one.new_run("adjoint")
    request = json.loads((directory / "request.json").read_bytes())
    request["created_s"] = time.time() + _HOUR
    (directory / "request.json").write_text(json.dumps(request))
    os.utime(directory, (time.time() - 60, time.time() - 60))
    one.command("runs")
    one.resume(directory)
    one.same_as_reference("adjoint")


PARTS: Final = (Part("clocks", "clocks, pids, boots and hosts", _KINDS, _cases),)
