"""A part of a log at a time, from either end or around a place, however long the log is."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Final

from pixart_tui.tui.drawing.lines import printable

PART_BYTES: Final = 256 * 1024
MOST_LINES: Final = 20_000
_LINE_BYTES: Final = 16 * 1024
_SCAN_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of a log.

    Attributes:
        offset: Where it begins, in bytes.
        text: What is to be seen of it.
    """

    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class LogPart:
    """Successive lines of a log.

    Attributes:
        lines: The lines.
        start: Byte where the first one begins.
        end: Byte where the last one ends.
        size: Bytes of the whole log when it was read.
    """

    lines: tuple[LogLine, ...] = ()
    start: int = 0
    end: int = 0
    size: int = 0

    @property
    def is_last(self) -> bool:
        """Whether nothing follows it."""
        return self.end >= self.size


def read_tail(path: Path) -> LogPart:
    """The end of a log."""
    with path.open("rb") as file:
        return _tail(file)


def read_more(path: Path, part: LogPart) -> LogPart:
    """A part with what follows it; the end of the log where it has become another file.

    A line that was not complete is read again. At the top lines go, so that it stays small.
    """
    with path.open("rb") as file:
        size = _size(file)
        if size < part.end:
            return _tail(file)
        begin = part.lines[-1].offset if part.lines else part.end
        if part.end - begin > PART_BYTES // 2:
            begin = part.end  # a line without end: on with the rest of it
        more = _first(_part(file, begin, min(size, begin + PART_BYTES)), MOST_LINES // 2)
    known = tuple(line for line in part.lines if line.offset < begin)
    return _last(replace(more, lines=(*known, *more.lines), start=part.start), MOST_LINES)


def read_earlier(path: Path, part: LogPart) -> LogPart:
    """A part with what stands before it; lines at its end go, so that it stays small."""
    with path.open("rb") as file:
        earlier = _part(file, max(0, part.start - PART_BYTES), part.start)
    earlier = _last(earlier, MOST_LINES // 2)
    lines = (*earlier.lines, *part.lines)
    return _first(LogPart(lines, earlier.start, part.end, part.size), MOST_LINES)


def read_around(path: Path, offset: int) -> LogPart:
    """The lines on both sides of the place where one begins."""
    half = PART_BYTES // 2
    with path.open("rb") as file:
        size = _size(file)
        before = _last(_part(file, max(0, offset - half), offset), MOST_LINES // 2)
        after = _first(_part(file, offset, min(size, offset + half)), MOST_LINES // 2)
    return LogPart((*before.lines, *after.lines), before.start, after.end, size)


def find(path: Path, query: str, offset: int, *, backwards: bool = False) -> int | None:
    """Where the next line begins that holds some text, in any case of letters.

    Args:
        path: The log.
        query: The text.
        offset: Lines are looked at that begin there or behind it.
        backwards: Whether to look at the lines that begin before it, the last one first.
    """
    with path.open("rb") as file:
        size = _size(file)
        places = _before(file, query, offset) if backwards else _after(file, query, offset, size)
        return next(places, None)


def holds(line: str, query: str) -> bool:
    """Whether a line holds some text, in any case of letters."""
    return query.lower() in line.lower()


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)


def _tail(file: IO[bytes]) -> LogPart:
    size = _size(file)
    return _last(_part(file, max(0, size - PART_BYTES), size), MOST_LINES)


def _first(part: LogPart, lines: int) -> LogPart:
    """The beginning of a part."""
    if len(part.lines) <= lines:
        return part
    return replace(part, lines=part.lines[:lines], end=part.lines[lines].offset)


def _last(part: LogPart, lines: int) -> LogPart:
    """The end of a part."""
    kept = part.lines[-lines:]
    return part if len(kept) == len(part.lines) else replace(part, lines=kept, start=kept[0].offset)


def _part(file: IO[bytes], start: int, stop: int) -> LogPart:
    """The lines that begin between two bytes; the first byte may lie within a line."""
    size = _size(file)
    begin = _line_begin(file, start) if start else 0
    begin = min(begin, stop)
    file.seek(begin)
    data = file.read(stop - begin)
    if stop < size and not data.endswith(b"\n"):
        data = data[: data.rfind(b"\n") + 1] or data
    return LogPart(tuple(_lines(data, begin)), begin, begin + len(data), size)


def _line_begin(file: IO[bytes], offset: int) -> int:
    """Where the first line begins at or behind a byte; the byte itself in an endless line."""
    file.seek(offset - 1)
    newline = file.read(_LINE_BYTES).find(b"\n")
    return offset + newline if newline >= 0 else offset


def _lines(data: bytes, begin: int) -> Iterator[LogLine]:
    offset = begin
    for raw in data.split(b"\n"):
        if raw or offset < begin + len(data):
            yield LogLine(offset, _seen(raw))
        offset += len(raw) + 1


def _seen(raw: bytes) -> str:
    """Returns the final state of a line as a terminal shows it; of a very long line, its end."""
    return printable(raw[-_LINE_BYTES:].decode(errors="replace").expandtabs())


def _after(file: IO[bytes], query: str, offset: int, size: int) -> Iterator[int]:
    begin = max(0, offset - 1)
    file.seek(begin)
    begin += len(file.readline()) if offset > 0 else 0
    while begin < size:
        file.seek(begin)
        data = file.read(_SCAN_BYTES) + file.readline()
        yield from _matches(data, query, begin)
        begin += len(data)


def _before(file: IO[bytes], query: str, offset: int) -> Iterator[int]:
    stop = offset
    while stop > 0:
        start = max(0, stop - _SCAN_BYTES)
        begin = min(_line_begin(file, start), stop) if start else 0
        begin = start if begin == stop else begin
        file.seek(begin)
        yield from reversed(list(_matches(file.read(stop - begin), query, begin)))
        stop = begin


def _matches(data: bytes, query: str, begin: int) -> Iterator[int]:
    """Beginnings of the lines that show the text; what a progress bar wrote over is not seen."""
    pattern = re.compile(re.escape(query.encode()), re.IGNORECASE)
    at = 0
    while found := pattern.search(data, at):
        line_begin = data.rfind(b"\n", 0, found.start()) + 1
        line_end = data.find(b"\n", found.start())
        line_end = len(data) if line_end < 0 else line_end
        if holds(_seen(data[line_begin:line_end]), query):
            yield begin + line_begin
        at = line_end + 1
