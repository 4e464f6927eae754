"""How long what is journalled takes to the screen."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pixart_tui.runs.journal import JournalEntry, JournalReader
from pixart_tui.runs.paths import RunPaths
from pixart_tui.runs.snapshot import RunSnapshot
from pixart_tui.tui.state.watch import stage_detail


@dataclass(frozen=True, slots=True)
class _Awaited:
    text: str
    written_s: float


class Arrivals:
    """Follows a journal, and looks on a screen for what it says: progress and stage.

    What is overtaken by something newer before it was drawn counts when the newer one is seen: the
    screen is then up to date.
    """

    def __init__(self, directory: Path, kind: str) -> None:
        self._reader = JournalReader(RunPaths(directory).events)
        self._snapshot = RunSnapshot()
        self._kind = kind
        self._awaited: dict[str, list[_Awaited]] = {"progress": [], "stage": []}
        self._last = {"progress": "", "stage": ""}
        self._delays_s: list[float] = []
        self._read()
        for waiting in self._awaited.values():
            waiting.clear()

    def look(self, lines: Sequence[str]) -> None:
        """Takes in what is new in the journal, and what the screen shows of it."""
        self._read()
        now_s = time.time()
        for waiting in self._awaited.values():
            seen = [n for n, one in enumerate(waiting) if any(one.text in line for line in lines)]
            if seen:
                shown = waiting[: seen[-1] + 1]
                del waiting[: seen[-1] + 1]
                self._delays_s += [now_s - one.written_s for one in shown]

    def summary(self) -> dict[str, float | int | None]:
        """Median and largest delay; what was never seen in time stands beside them."""
        late = sum(time.time() - one.written_s > 1.0 for w in self._awaited.values() for one in w)
        delays_s = self._delays_s
        return {
            "median": round(statistics.median(delays_s), 3) if delays_s else None,
            "max": round(max(delays_s), 3) if delays_s else None,
            "n": len(delays_s),
            "not_seen": late,
        }

    def _read(self) -> None:
        while entries := self._reader.poll():
            for entry in entries:
                self._snapshot.apply(entry)
                self._await("progress", self._progress, entry)
                self._await("stage", self._stage, entry)

    def _await(self, sort: str, text: str, entry: JournalEntry) -> None:
        if text and text != self._last[sort]:
            self._last[sort] = text
            self._awaited[sort].append(_Awaited(text, entry.t))

    @property
    def _progress(self) -> str:
        return f"{self._snapshot.done} of {self._snapshot.total} {self._unit}"

    @property
    def _unit(self) -> str:
        plan = self._snapshot.profiling.planned
        adjoint = plan is not None and plan.conditions.method == "adjoint"
        return "cases" if self._kind == "bench" else "samples" if adjoint else "layers"

    @property
    def _stage(self) -> str:
        stage = self._snapshot.stage
        return f" {stage.stage}  {stage_detail(stage)}"[:60].rstrip() if stage else ""
