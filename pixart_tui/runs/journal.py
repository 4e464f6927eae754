"""The journal of a run: JSON lines, appended and synced, read as they grow.

A line is ``{"v": 1, "t": <unix time>, "event": {...}}``. A torn last line (a worker killed, a full
disk) is ignored by readers and ended by the next writer, so that nothing but itself is lost.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time
from types import TracebackType
from typing import Final

from pydantic import ValidationError

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.events import AttemptFinished, AttemptStarted, Event
from pixart_tui.domain.values import Value, parse_json
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.own_files import unwritten

JOURNAL_VERSION: Final = 1
_CHUNK_BYTES: Final = 128 * 1024
"""So much is read at once: of a long journal few entries are alive at a time."""
_HEAD: Final = re.compile(
    rb'\{"v":1,"t":[^,]+,"event":\{"type":'
    rb'(?:(?P<attempt>"attempt_started")'
    rb'|(?P<stage>"stage","stage":"(?:[^"\\]|\\.)*")'
    rb'|(?P<topic>(?:"bench_row","row":\{|"warmup",)"label":"(?:[^"\\]|\\.)*"))'
)
"""How a line begins that opens an attempt, or that a later one on the same topic replaces."""


class JournalEntry(Value):
    """One line of a journal.

    Attributes:
        v: Version of the format.
        t: Unix time of the event, in seconds.
        event: What happened.
    """

    v: int = JOURNAL_VERSION
    t: float
    event: Event


class JournalWriter:
    """Appends events to a journal; there is one writer per file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            # Unbuffered, so that nothing is left to fail when the file is closed.
            self._file = path.open("ab", buffering=0)
            self._torn = _ends_torn(path)
        except OSError as error:
            raise unwritten(path, error) from error

    def append(self, event: Event) -> JournalEntry:
        """Writes one event and returns once it is on the disk.

        Raises:
            WorkError: The disk is full or gone, or the journal was removed.
        """
        self.check()
        entry = JournalEntry(t=time(), event=event)
        try:
            self._write(entry.model_dump_json().encode() + b"\n")
        except OSError as error:
            raise unwritten(self._path, error) from error
        return entry

    def check(self) -> None:
        """Finds out whether the file still stands where readers look for it.

        Raises:
            WorkError: It does not: whatever is measured from now on would be lost.
        """
        try:
            found = os.path.samestat(self._path.stat(), os.fstat(self._file.fileno()))
        except OSError as error:
            # Of any other trouble the next write tells.
            found = error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)
        if not found:
            raise WorkError(
                f"{self._path} was removed while the run worked",
                cause="what it had measured is gone with it",
                next_step=f"begin anew: pixart-tui resume {self._path.parent.name}",
            )

    def _write(self, line: bytes) -> None:
        """Writes a line of its own, even after one that a full disk cut off."""
        rest = memoryview(b"\n" + line if self._torn else line)
        self._torn = True
        while rest:
            rest = rest[self._file.write(rest) :]
        os.fsync(self._file.fileno())
        self._torn = False

    def __enter__(self) -> JournalWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()


@dataclass
class JournalReader:
    """Reads what is new in a journal at each call.

    Attributes:
        path: The journal; it need not exist yet.
        latest_only: Whether to leave out what a later line has replaced: stages but for their
            beginning, and the same row's earlier figures and warm-ups. A fold over the rest ends
            in the same state.
        offset: Bytes that are read and done with.
        restarts: How often another journal took its place, which is then read from its start.
        unreadable: Complete lines that could not be understood: damaged, or of a newer version.
            The last line of an attempt that was cut off while it was written is none.
    """

    path: Path
    latest_only: bool = False
    offset: int = 0
    unreadable: int = 0
    restarts: int = 0
    _file: tuple[int, int] | None = None
    _perhaps_torn: bool = False

    def poll(self) -> list[JournalEntry]:
        """The next entries that are complete, in order; to be called until there are none."""
        while lines := self._new_lines():
            if entries := self._entries(_latest(lines) if self.latest_only else lines):
                return entries
        return []

    def _entries(self, lines: Iterable[bytes]) -> list[JournalEntry]:
        """Those that can be understood; the others are counted."""
        entries = []
        for line in lines:
            entry = _parse(line)
            if entry is not None:
                entries.append(entry)
                ends = isinstance(entry.event, AttemptStarted | AttemptFinished)
                self.unreadable -= self._perhaps_torn and ends
                self._perhaps_torn = False
            elif line.strip():
                self.unreadable += 1
                self._perhaps_torn = not self._perhaps_torn and not line.endswith(b"}")
        return entries

    def _new_lines(self) -> list[bytes]:
        """The next complete lines, one at least if there is one."""
        try:
            with self.path.open("rb") as file:
                self._begin_anew_if_replaced(os.fstat(file.fileno()))
                file.seek(self.offset)
                data = b""
                while b"\n" not in data and (more := file.read(_CHUNK_BYTES)):
                    data += more
        except FileNotFoundError:
            return []
        complete, newline, _ = data.rpartition(b"\n")
        self.offset += len(complete) + len(newline)
        return complete.split(b"\n") if newline else []

    def _begin_anew_if_replaced(self, status: os.stat_result) -> None:
        file = (status.st_dev, status.st_ino)
        if self._file not in (None, file) or status.st_size < self.offset:
            self.offset, self.unreadable = 0, 0
            self.restarts += 1
        self._file = file


def read_journal(path: Path) -> list[JournalEntry]:
    """Every entry of a journal that can be understood."""
    reader = JournalReader(path)
    entries: list[JournalEntry] = []
    while batch := reader.poll():
        entries.extend(batch)
    return entries


def repair_journal(path: Path) -> None:
    """Takes lines out that nothing can read; the journal as it was stays beside it.

    Raises:
        RequestError: A newer version wrote one of them.
        WorkError: The disk is full or gone.
    """
    data = path.read_bytes()
    lines = data.split(b"\n")
    for line in lines:
        if _parse(line) is None and _version_of(line) > JOURNAL_VERSION:
            raise RequestError(
                f"{path} was written by a newer version",
                cause="this one cannot read all of it",
                next_step="resume it with that version of pixart-tui",
            )
    kept = [line for line in lines if _parse(line) is not None]
    write_atomically(path.with_name("events.damaged.jsonl"), data)
    write_atomically(path, b"".join(line + b"\n" for line in kept))


def _version_of(line: bytes) -> float:
    """The version that a line states; 0 where it states none."""
    try:
        content = parse_json(line)
    except ValueError:
        return 0
    version = content.get("v") if isinstance(content, dict) else None
    return version if isinstance(version, int | float) else 0


def _latest(lines: Iterable[bytes]) -> list[bytes]:
    """The lines without those that a later one of the same attempt replaces, in order."""
    kept: list[bytes] = []
    seen: set[bytes] = set()
    for line, head, begins in reversed(list(_with_beginnings(lines))):
        topic = head and (head["topic"] or (head["stage"] and b"stage"))
        if topic:
            if topic in seen and not begins:
                continue
            seen.add(topic)
        elif head:  # the last line before an attempt says when the one before it ended
            seen.clear()
        kept.append(line)
    return kept[::-1]


def _with_beginnings(
    lines: Iterable[bytes],
) -> Iterator[tuple[bytes, re.Match[bytes] | None, bool]]:
    """Each line, its head, and whether a stage begins there: clocks run from then on."""
    stage: bytes | None = None
    for line in lines:
        head = _HEAD.match(line)
        begins = bool(head and head["stage"] and head["stage"] != stage)
        if head and (head["stage"] or head["attempt"]):
            stage = head["stage"]
        yield line, head, begins


def _parse(line: bytes) -> JournalEntry | None:
    try:
        entry = JournalEntry.model_validate_json(line)
    except ValidationError:
        return None
    return entry if entry.v <= JOURNAL_VERSION else None


def _ends_torn(path: Path) -> bool:
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return False
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
