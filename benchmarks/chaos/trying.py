"""One try: a place of its own, what is reference, and what goes wrong."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks.chaos.findings import Fault, Finding, Verdict
from benchmarks.chaos.kinds import Reference, copied_run, differences, leftovers, measured
from benchmarks.chaos.processes import Outcome, Setting, command, ended, on_terminal, start_worker
from benchmarks.chaos.shim import Aim

WORK_LIMIT_S: Final = 180.0
_GOOD_CODES: Final = (0, 1, 2, 130)
_TRACES: Final = (b"Traceback (most recent call last)", b"Exception ignored in", b"Fatal Python")
_FOLDERS: Final = ("runs", "locks", "cache", "out", "home", "tmp", "others")
_GRACE_S: Final = 10.0
_CANARY: Final = b"somebody else's\n"


@dataclass
class Try:
    """A try under way.

    Attributes:
        part: The part of the campaign.
        number: Its number there.
        what: What is tried, in words.
        place: A folder that is its own.
        references: Kind to the reference run.
        random: Seeded by campaign, part and number.
        tries: How often something was tried.
        findings: What went wrong.
    """

    part: str
    number: int
    what: str
    place: Path
    references: Mapping[str, Reference]
    random: random.Random
    tries: int = 1
    findings: list[Finding] = field(default_factory=list)
    _others: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        for name in _FOLDERS:
            (self.place / name).mkdir(parents=True)
        for canary in (self.others / "canary", self.others / "folder" / "canary"):
            canary.parent.mkdir(exist_ok=True)
            canary.write_bytes(_CANARY)
        enter(self.place)
        for source in self.references.values():  # layers are not timed again
            times = source.directory / "cache"
            if times.is_dir():
                shutil.copytree(times, self.place / "cache", dirs_exist_ok=True)
        self.note_others()

    @property
    def runs(self) -> Path:
        """All runs of this try."""
        return self.place / "runs"

    @property
    def out(self) -> Path:
        """The caller's directory."""
        return self.place / "out"

    @property
    def others(self) -> Path:
        """What belongs to somebody else; nothing may touch it."""
        return self.place / "others"

    def setting(self, aim: Aim | None = None, clock_s: int = 0, uid: int | None = None) -> Setting:
        """What a process of this try finds."""
        return Setting(self.out, self.runs, aim=aim, clock_s=clock_s, uid=uid)

    def blame(self, fault: Fault, text: str) -> None:
        """Takes down what went wrong."""
        self.findings.append(Finding(fault=fault, text=text[:300]))

    def note_others(self) -> None:
        """Remembers what belongs to somebody else as it is now."""
        self._others = _fingerprints(self.others)

    def new_run(self, kind: str, run_id: str = "") -> Path:
        """A run that no worker has worked on yet; by default with the reference one's id."""
        return copied_run(self.references[kind], self.runs, self.out, run_id)

    def copy_of_run(self, kind: str) -> Path:
        """An ended run with everything in it."""
        source = self.references[kind]
        target = self.runs / source.run_id
        shutil.copytree(source.run, target)
        return target

    def command(
        self,
        *arguments: str,
        aim: Aim | None = None,
        clock_s: int = 0,
        uid: int | None = None,
        given: bytes = b"",
        limit_s: float = 60.0,
    ) -> Outcome:
        """Runs a command line, and blames it for a traceback or an exit code."""
        setting = self.setting(aim, clock_s, uid)
        return self.judge(arguments, command(arguments, setting, limit_s, given))

    def on_terminal(
        self, *arguments: str, limit_s: float = 30.0, keys: Sequence[tuple[float, bytes]] = ()
    ) -> Outcome:
        """The same on a terminal."""
        found = on_terminal(arguments, self.setting(), limit_s, keys)
        return self.judge(arguments, found)

    def judge(self, arguments: Sequence[str], found: Outcome) -> Outcome:
        """Blames a command for a traceback, an exit code, or for not ending."""
        line = " ".join(map(repr, arguments))[:160]
        if any(trace in found.out + found.err for trace in _TRACES):
            last = found.text.strip().splitlines()[-1]
            self.blame("tracebacks", f"{line}: {last[:120]}")
        if found.code not in _GOOD_CODES:
            self.blame("exits", f"{line}: {'does not end' if found.code is None else found.code}")
        return found

    def work(self, directory: Path, aim: Aim | None = None, clock_s: int = 0) -> int | None:
        """Has a forked worker work on a run to its end; gives its exit code."""
        return ended(start_worker(directory, self.setting(aim, clock_s)), WORK_LIMIT_S)

    def resume(self, directory: Path, *, real: bool = False, clock_s: int = 0) -> None:
        """Goes on with a run until it is done; blames it where it does not get there."""
        if real:
            found = self.command(
                *("resume", directory.name, "--display", "plain"),
                limit_s=WORK_LIMIT_S,
                clock_s=clock_s,
            )
            if found.code:
                self.blame("wrong", f"resume: exit {found.code}: {found.text[-160:]}")
        elif code := self.work(directory, clock_s=clock_s):
            self.blame("wrong", f"the resumed worker ended with {code}: {self.told(directory)}")

    def interrupted(self, directory: Path, before: list[Any]) -> list[Any]:
        """Checks that nothing was measured twice or lost since; gives what is measured by now."""
        now = measured(directory / "events.jsonl")
        if now[: len(before)] != before:
            self.blame("lost", f"{len(before)} were measured, and are no longer there")
        for key in now[len(before) :]:
            if key in before:
                self.blame("lost", f"{key} was measured again")
        return now

    def same_as_reference(self, kind: str) -> None:
        """Blames what was written where the reference run wrote something else."""
        for difference in differences(self.references[kind], self.out):
            self.blame("wrong", f"{kind}: {difference}")

    def told(self, directory: Path) -> str:
        """What a user is told of a run: its state and why."""
        found = self.command("runs", "--json")
        known = {run["id"]: run for run in json.loads(found.out or b"[]")}
        run = known.get(directory.name, {})
        error = run.get("error") or {}
        return f"{run.get('state')}: {error.get('title', '')}: {error.get('cause', '')}"

    def finish(self) -> None:
        """Looks for what stayed behind, and at what belongs to others."""
        deadline_s = time.monotonic() + _GRACE_S
        while processes_of(self.place) and time.monotonic() < deadline_s:
            time.sleep(0.1)  # a worker that has said its last word takes a moment
        for pid, name in processes_of(self.place):
            self.blame("left", f"process {name}")
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in leftovers(self.out):
            self.blame("left", f"out/{name}")
        now = _fingerprints(self.others)
        for name in sorted(self._others.keys() | now.keys()):
            if self._others.get(name) != now.get(name):
                self.blame("foreign", name)


def enter(place: Path) -> None:
    """Has this process and its children keep everything below a folder."""
    for variable, name in (
        ("PIXART_TUI_RUNS", "runs"),
        ("PIXART_TUI_LOCKS", "locks"),
        ("PIXART_TUI_CACHE", "cache"),
        ("PIXART_TUI_CONFIG", "home/config.toml"),
        ("HOME", "home"),
        ("TMPDIR", "tmp"),
    ):
        os.environ[variable] = str(place / name)


def attempt(action: Callable[[Try], None], one: Try, *, keep: bool = False) -> Verdict:
    """Does a try and says what it found."""
    started_s = time.monotonic()
    try:
        action(one)
        one.finish()
    except Exception as error:  # the campaign's own fault, or a journal that cannot be read
        one.blame("wrong", f"the try itself failed: {type(error).__name__}: {error}")
    if not keep:
        shutil.rmtree(one.place, ignore_errors=True)
    return Verdict(
        part=one.part,
        number=one.number,
        what=one.what,
        tries=one.tries,
        seconds=round(time.monotonic() - started_s, 2),
        findings=tuple(one.findings),
    )


def processes_of(place: Path) -> list[tuple[int, str]]:
    """Processes whose command line names a folder."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit() and str(place) in (text := _words(entry / "cmdline")):
                found.append((int(entry.name), text[:120]))
    return found


def _words(path: Path) -> str:
    return path.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def _fingerprints(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        digest = hashlib.sha256(content).hexdigest()[:16]
        name = path.relative_to(folder).as_posix()
        found[name] = f"{status.st_mode:o} {status.st_uid} {digest}"
    return found
