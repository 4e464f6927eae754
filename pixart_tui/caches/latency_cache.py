"""Latencies that were measured before: one JSON file per GPU model in the user's cache directory.

Homes may be shared and two runs may end together: a file is replaced as a whole, and the entries
of the run that loses are measured again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pixart_tui.caches.root import cache_root
from pixart_tui.domain.errors import WorkError, first_line
from pixart_tui.domain.layers.latency import Latency, LinearShape
from pixart_tui.domain.values import Value
from pixart_tui.runs.files import write_atomically

SCHEMA_VERSION: Final = 1


class LatencyKey(Value):
    """The conditions of a latency, besides the shape.

    Attributes:
        device: The GPU model, or the processor and the threads that torch uses.
        torch: Version.
        triton: Version; empty where it is not installed.
        torchao: Version.
        kernels: What runs the quantized layer.
        quant_type: The quant type.
    """

    device: str
    torch: str
    triton: str
    torchao: str
    kernels: str
    quant_type: str


class CachedLatency(Value):
    """One entry of the file."""

    key: LatencyKey
    shape: LinearShape
    latency: Latency


class _Version(Value):
    schema_version: int


class _Content(_Version):
    entries: tuple[CachedLatency, ...] = ()


class _NewerError(ValueError):
    """A newer version wrote the file, which must not be lost."""


@dataclass(frozen=True, slots=True)
class LatencyCache:
    """The latencies of one device under one quant type.

    Attributes:
        path: The file.
        key: What the latencies hold for.
        known: Shape to latency.
        problem: Why the file could not be used; empty if it could, or if there is none.
    """

    path: Path
    key: LatencyKey
    known: Mapping[LinearShape, Latency]
    problem: str = ""

    @classmethod
    def open(cls, key: LatencyKey) -> LatencyCache:
        """Returns the file's latencies for a key; nothing if the file cannot be used."""
        path = cache_root() / "latency" / f"{_file_stem(key.device)}.json"
        try:
            content = _read(path)
        except (OSError, ValueError) as error:
            return cls(path, key, {}, f"{path} cannot be used: {_reason(error)}")
        return cls(path, key, {x.shape: x.latency for x in content.entries if x.key == key})

    def store(self, measured: Mapping[LinearShape, Latency]) -> str:
        """Adds latencies to those that the file holds.

        Returns:
            Why they could not be stored, empty if they were: nothing is lost but time.
        """
        try:
            others = [
                x for x in _entries(self.path) if x.key != self.key or x.shape not in measured
            ]
            mine = [CachedLatency(key=self.key, shape=s, latency=x) for s, x in measured.items()]
            content = _Content(schema_version=SCHEMA_VERSION, entries=(*others, *mine))
            write_atomically(self.path, content.model_dump_json(indent=1) + "\n")
        except (OSError, WorkError, _NewerError) as error:
            return f"{self.path} is left as it is: {_reason(error)}"
        return ""


def _read(path: Path) -> _Content:
    """The file's content, empty if there is none.

    Raises:
        OSError: It cannot be read.
        ValueError: It is damaged, or a newer version wrote it.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return _Content(schema_version=SCHEMA_VERSION)
    version = _Version.model_validate_json(text).schema_version
    if version > SCHEMA_VERSION:
        raise _NewerError(f"a newer pixart-tui wrote it (version {version})")
    return _Content.model_validate_json(text)


def _entries(path: Path) -> tuple[CachedLatency, ...]:
    """Returns the usable content of the file; nothing if it is damaged."""
    try:
        return _read(path).entries
    except _NewerError:
        raise
    except ValueError:
        return ()


def _file_stem(device: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", device).strip("-").lower() or "device"


def _reason(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        return f"{'.'.join(str(part) for part in first['loc']) or 'the file'}: {first['msg']}"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return first_line(error)
