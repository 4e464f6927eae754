"""One run: its request, its state, and the fold of its journal."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import AttemptStarted, Failure
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.files.sidecar import REMOVED_METHOD
from pixart_tui.domain.plain_text import last_state
from pixart_tui.domain.requests import Request
from pixart_tui.domain.values import Value, parse_json
from pixart_tui.domain.words import count
from pixart_tui.runs.identity import WorkerIdentity, has_pulse, is_alive, is_stopped
from pixart_tui.runs.journal import JournalEntry, JournalReader
from pixart_tui.runs.last_word import heard
from pixart_tui.runs.paths import RunPaths
from pixart_tui.runs.snapshot import RunSnapshot

SCHEMA_VERSION: Final = 1
OF_REMOVED_METHOD: Final = (
    "this run is of the fast method, which was removed; start a new one with: pixart-tui profile"
)
_START_LIMIT_S: Final = 15.0


class RunState(StrEnum):
    """Where a run is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    STALE = "stale"

    @property
    def is_finished(self) -> bool:
        """Whether no worker will add to it."""
        return self not in (RunState.QUEUED, RunState.RUNNING)


class RunRecord(Value):
    """The content of ``request.json``.

    Attributes:
        schema_version: Version of this file's format.
        id: The run's id.
        created_s: Unix time.
        cwd: The caller's directory.
        request: What was asked.
    """

    schema_version: int = SCHEMA_VERSION
    id: str
    created_s: float
    cwd: str
    request: Request = Field(discriminator="kind")


@dataclass
class Run:
    """A run that a viewer follows; ``poll`` takes in what is new.

    Attributes:
        paths: Its files.
        record: What was asked, None where ``request.json`` cannot be read.
        problem: Why it cannot be read; empty otherwise.
        journal_problem: Why the journal cannot be read; empty otherwise.
        snapshot: The fold of its journal so far.
        unjournalled: How the last attempt ended, where the journal could not take that.
    """

    paths: RunPaths
    record: RunRecord | None
    problem: str = ""
    journal_problem: str = ""
    snapshot: RunSnapshot = field(default_factory=RunSnapshot)
    unjournalled: tuple[JournalEntry, ...] = ()
    _reader: JournalReader | None = None
    _restarts: int = 0

    @classmethod
    def open(cls, directory: Path) -> Run:
        """Opens a run's directory without reading its journal."""
        paths = RunPaths(directory)
        reader = JournalReader(paths.events, latest_only=True)
        try:
            record = RunRecord.model_validate_json(paths.request.read_bytes())
        except (OSError, ValidationError) as error:
            problem = _why_unreadable(paths.request, error)
            return cls(paths, None, problem=problem, _reader=reader)
        return cls(paths, record, _reader=reader)

    def refuse_removed(self) -> None:
        """Refuses a run that nothing can be done with any more but looking at its log.

        Raises:
            RequestError: It is of a method that was removed.
        """
        if self.problem == OF_REMOVED_METHOD:
            raise RequestError(OF_REMOVED_METHOD)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.paths.directory.name

    @property
    def created_s(self) -> float:
        """Unix time of its creation; of its directory's where the request cannot be read."""
        if self.record is not None:
            return self.record.created_s
        try:
            return self.paths.directory.stat().st_mtime
        except FileNotFoundError:  # deleted this moment
            return 0.0

    @property
    def unreadable_lines(self) -> int:
        """Lines of the journal that could not be understood."""
        return self._reader.unreadable if self._reader else 0

    @property
    def damage(self) -> str:
        """Describes lines of the journal that could not be understood; empty for none."""
        if not self.unreadable_lines:
            return ""
        lines = count(self.unreadable_lines, "journal line")
        return f"{lines} cannot be read: damaged, or of a newer version"

    def refuse_damaged(self) -> None:
        """Refuses a run that is done and whose journal has lost something since.

        Raises:
            RequestError: It has.
        """
        if self.damage and self.state() is RunState.DONE:
            raise RequestError(
                f"the journal of run {self.id} is damaged",
                cause=self.damage,
                next_step=f"measure what is missing: pixart-tui resume {self.id}",
            )

    def poll(self) -> bool:
        """Takes in the events since the last call; tells whether there were any."""
        found = False
        while entries := self._read_on():
            found = True
            self._take(entries)
        self.unjournalled = self._last_word() or self.unjournalled
        return found

    def _read_on(self) -> list[JournalEntry]:
        """The next entries; none where the journal cannot be read, which must not hide others."""
        try:
            entries = self._reader.poll() if self._reader else []
        except OSError as error:
            self.journal_problem = error.strerror or str(error)
            return []
        self.journal_problem = ""
        if self._reader is not None and self._reader.restarts != self._restarts:
            self._restarts = self._reader.restarts
            self.snapshot = RunSnapshot()
        return entries

    def _take(self, entries: Iterable[JournalEntry]) -> None:
        for entry in entries:
            self.snapshot.apply(entry)

    def _last_word(self) -> tuple[JournalEntry, ...]:
        """Takes in how an attempt ended that the journal does not tell; nothing if it does."""
        said, known = heard(self.paths.last_word), self.snapshot
        if said is None or said.attempt < known.attempts:
            return ()
        if said.attempt == known.attempts and known.finished is not None:
            return ()
        begun = AttemptStarted(attempt=said.attempt)
        events = (said.outcome,) if said.attempt == known.attempts else (begun, said.outcome)
        entries = tuple(JournalEntry(t=said.t, event=event) for event in events)
        self._take(entries)
        return entries

    def worker(self) -> WorkerIdentity | None:
        """The last worker, None if none has started."""
        try:
            return WorkerIdentity.model_validate_json(self.paths.worker.read_bytes())
        except (OSError, ValidationError):
            return None

    @property
    def next_attempt(self) -> int:
        """The number of the next worker."""
        previous = self.worker()
        return max(self.snapshot.attempts, previous.attempt if previous else 0) + 1

    @property
    def is_gone(self) -> bool:
        """Whether the run was deleted."""
        return not self.paths.directory.is_dir()

    def stopped_worker(self) -> WorkerIdentity | None:
        """Its worker, if a signal keeps it from going on."""
        worker = self.worker()
        return worker if worker is not None and is_stopped(worker) else None

    @property
    def stopped_note(self) -> str:
        """How a worker that a signal stopped goes on; empty for one that is not stopped."""
        worker = self.stopped_worker()
        note = "stopped by a signal; kill -CONT {} lets it go on"
        return note.format(worker.pid) if worker else ""

    def state(self) -> RunState:
        """Where it is now, by the events taken in and the process table."""
        worker, finished = self.worker(), self.snapshot.finished
        attempt = worker.attempt if worker is not None else 1
        begun = self.snapshot.attempts >= attempt
        if finished is not None and begun:
            return RunState(finished.state)
        if not self._lives(worker):
            fresh = worker is None and time.time() - self.created_s < _START_LIMIT_S
            return RunState.QUEUED if fresh and not self.is_gone else RunState.STALE
        stage = self.snapshot.stage
        waiting = stage is not None and stage.stage == Stage.WAITING
        return RunState.RUNNING if begun and not waiting else RunState.QUEUED

    def _lives(self, worker: WorkerIdentity | None) -> bool:
        """Whether a worker lives; one that left no name, as its file was removed, has a pulse."""
        if worker is None:
            return has_pulse(self.paths.heartbeat)
        return is_alive(worker, self.paths.heartbeat)

    def trouble(self) -> Failure | None:
        """Returns why a run ended badly: as its worker said, or as its files tell."""
        state, finished = self.state(), self.snapshot.finished
        if state is not RunState.STALE:
            return finished.failure if state.is_finished and finished is not None else None
        if self.is_gone:
            return Failure(title=f"run {self.id} was deleted", cause=str(self.paths.directory))
        if problem := self.problem or self.journal_problem:
            delete = f"pixart-tui delete {self.id}"
            advice = f"what can be read stands above; when it is of no use: {delete}"
            return Failure(title=f"run {self.id} cannot be read", cause=problem, next_step=advice)
        return Failure(
            title=f"the worker of run {self.id} died",
            cause=self._last_printed(),
            next_step=f"go on with: pixart-tui resume {self.id}",
        )

    def _last_printed(self) -> str:
        if last := last_state(" ".join(self.log_tail(1)))[:200]:
            return f"its last words: {last}"
        killed = self.paths.events.exists() or self.worker() is None
        return "it said nothing; perhaps it was killed" if killed else "its journal is missing"

    def log_tail(self, lines: int = 10) -> list[str]:
        """The last lines that the worker and its libraries printed."""
        try:
            with self.paths.log.open("rb") as file:
                file.seek(max(0, file.seek(0, 2) - 64 * 1024))
                return file.read().decode(errors="replace").splitlines()[-lines:]
        except OSError:
            return []


def _why_unreadable(path: Path, error: OSError | ValidationError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if (version := _schema_version(path)) > SCHEMA_VERSION:
        return f"a newer version wrote it: format {version}, not {SCHEMA_VERSION}"
    if _method(path) == REMOVED_METHOD:
        return OF_REMOVED_METHOD
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]


def _schema_version(path: Path) -> int:
    version = _content(path).get("schema_version")
    return version if isinstance(version, int) else 0


def _method(path: Path) -> object:
    """The method that a profile was asked to use."""
    request = _content(path).get("request")
    return request.get("method") if isinstance(request, dict) else None


def _content(path: Path) -> dict[str, Any]:
    """Reads the object in a file; an empty one where the file holds none."""
    try:
        content = parse_json(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
