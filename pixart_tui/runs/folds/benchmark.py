"""Folds the events of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from pixart_tui.domain.benchmarks.rows import BenchResult, BenchRow, RowStatus
from pixart_tui.domain.events import (
    AttemptFinished,
    AttemptStarted,
    BenchFinished,
    BenchPlanned,
    BenchRowUpdated,
    Event,
    WarmupProgressed,
)

_ENDED: Final = (RowStatus.DONE, RowStatus.FAILED)


@dataclass
class Benchmark:
    """The rows of a benchmark.

    Attributes:
        plan: The rows to measure, None until they are known.
        rows: Label to row, in the planned order.
        warmups: Label to what the row's latest process has compiled.
        result: The finished benchmark.
    """

    plan: BenchPlanned | None = None
    rows: dict[str, BenchRow] = field(default_factory=dict)
    warmups: dict[str, WarmupProgressed] = field(default_factory=dict)
    result: BenchResult | None = None
    _ended: bool = False

    def take(self, event: Event, _t: float) -> None:
        """Takes in the next event."""
        match event:
            case AttemptStarted():
                self.warmups, self._ended = {}, False
            case BenchPlanned():
                self.plan = event
                self.rows = {row.label: row for row in event.rows} | self.rows
            case BenchRowUpdated():
                self.rows[event.row.label] = event.row
            case WarmupProgressed():
                self.warmups[event.label] = event
            case BenchFinished():
                self.result = event.result
            case AttemptFinished():
                self._ended = True

    @property
    def total(self) -> int:
        """Rows in all."""
        return len(self.rows)

    @property
    def done(self) -> int:
        """Rows that are measured or failed."""
        return sum(row.status in _ENDED for row in self.rows.values())

    @property
    def warming_up(self) -> WarmupProgressed | None:
        """The warm-up that is under way."""
        for label, found in self.warmups.items():
            row = self.rows.get(label)
            running = row is None or row.status is RowStatus.RUNNING
            if running and not found.warmup.finished and not self._ended:
                return found
        return None
