"""Keeps the seconds of warm-ups on this machine, which estimate the next ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from pixart_tui.caches.root import cache_root
from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.values import Value
from pixart_tui.machine.machine_kind import MachineKind
from pixart_tui.runs.files import write_atomically


class _Content(Value):
    """The file: what was warmed up, then region to seconds."""

    seconds: dict[str, dict[str, float]] = {}


@dataclass(frozen=True, slots=True)
class WarmupTimes:
    """The last warm-up of each kind on machines of one kind.

    Attributes:
        kind: The machine's kind, with the versions.
    """

    kind: MachineKind

    @property
    def path(self) -> Path:
        """The file."""
        return cache_root() / "warm-up" / f"{self.kind.key}.json"

    def of(self, what: str) -> Mapping[str, float]:
        """Region to the seconds that it took the last time; empty if it never ran.

        Args:
            what: Model, size, compiler's configuration, and whether there were caches.
        """
        return self._read().seconds.get(what, {})

    def store(self, what: str, seconds: Mapping[str, float]) -> str:
        """Keeps the times of a finished warm-up.

        Returns:
            Why they could not be kept, empty if they were: only an estimate is lost.
        """
        content = _Content(seconds=self._read().seconds | {what: dict(seconds)})
        try:
            write_atomically(self.path, content.model_dump_json(indent=1) + "\n")
        except WorkError as error:
            return f"{error.title}: {error.cause}"
        return ""

    def _read(self) -> _Content:
        """Returns the file's content; nothing if it is absent or damaged."""
        try:
            return _Content.model_validate_json(self.path.read_bytes())
        except (OSError, ValidationError):
            return _Content()
