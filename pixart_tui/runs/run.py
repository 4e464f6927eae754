"""One run: its request, its state, and what its journal says by now."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from pydantic import Field, ValidationError

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import Request
from pixart_tui.domain.sidecar import REMOVED_METHOD
from pixart_tui.domain.values import Value
from pixart_tui.runs.journal import JournalEntry, JournalReader
from pixart_tui.runs.paths import RunPaths
from pixart_tui.runs.process import WorkerIdentity, is_alive
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
        snapshot: What its journal says by now.
    """

    paths: RunPaths
    record: RunRecord | None
    problem: str = ""
    journal_problem: str = ""
    snapshot: RunSnapshot = field(default_factory=RunSnapshot)
    _reader: JournalReader | None = None

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

    def poll(self) -> bool:
        """Takes in the events since the last call; tells whether there were any."""
        found = False
        while entries := self._read_on():
            found = True
            for entry in entries:
                self.snapshot.apply(entry)
        return found

    def _read_on(self) -> list[JournalEntry]:
        """The next entries; none where the journal cannot be read, which must not hide others."""
        try:
            entries = self._reader.poll() if self._reader else []
        except OSError as error:
            self.journal_problem = error.strerror or str(error)
            return []
        self.journal_problem = ""
        return entries

    def worker(self) -> WorkerIdentity | None:
        """The last worker, None if none has started."""
        try:
            return WorkerIdentity.model_validate_json(self.paths.worker.read_bytes())
        except (OSError, ValidationError):
            return None

    def state(self) -> RunState:
        """Where it is now, by the events taken in and the process table."""
        worker = self.worker()
        if worker is None:
            fresh = time.time() - self.created_s < _START_LIMIT_S
            return RunState.QUEUED if fresh else RunState.STALE
        finished = self.snapshot.finished
        if finished is not None and self.snapshot.attempts >= worker.attempt:
            return RunState(finished.state)
        if not is_alive(worker, self.paths.heartbeat):
            return RunState.STALE
        return self._live_state(worker)

    def _live_state(self, worker: WorkerIdentity) -> RunState:
        stage = self.snapshot.stage
        waiting = stage is not None and stage.stage == "waiting"
        begun = self.snapshot.attempts >= worker.attempt
        return RunState.RUNNING if begun and not waiting else RunState.QUEUED

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
    """What stands in a file; nothing where it is no object."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
