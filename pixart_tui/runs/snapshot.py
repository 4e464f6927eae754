"""A run as its journal tells it: a fold over the events, the same for every screen."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixart_tui.domain.benchmark import BenchResult, BenchRow, RowStatus
from pixart_tui.domain.events import (
    ArtifactWritten,
    AttemptFinished,
    AttemptStarted,
    BenchFinished,
    BenchPlanned,
    BenchRowUpdated,
    Event,
    FloorMeasured,
    LayerMeasured,
    ProfilePlanned,
    StageChanged,
)
from pixart_tui.domain.profile import Profile, merge_measurements
from pixart_tui.runs.journal import JournalEntry


@dataclass
class RunSnapshot:
    """What is known of a run after the events that were applied.

    Attributes:
        attempts: Workers that started so far.
        attempt_started_s: Unix time of the last start.
        last_event_s: Unix time of the last event.
        stage: Where the work is.
        planned: What a profile will measure.
        measured: Layer to its measurements, in the order of measuring.
        floor: The deployment floor.
        bench_plan: What a benchmark will measure.
        bench_rows: Label to row, in the planned order.
        bench_result: The finished benchmark.
        artifacts: Files that stand complete.
        finished: How the last attempt ended, None while it has not.
    """

    attempts: int = 0
    attempt_started_s: float = 0.0
    last_event_s: float = 0.0
    stage: StageChanged | None = None
    planned: ProfilePlanned | None = None
    measured: dict[str, LayerMeasured] = field(default_factory=dict)
    measured_in_attempt: int = 0
    floor: FloorMeasured | None = None
    bench_plan: BenchPlanned | None = None
    bench_rows: dict[str, BenchRow] = field(default_factory=dict)
    bench_result: BenchResult | None = None
    artifacts: list[ArtifactWritten] = field(default_factory=list)
    finished: AttemptFinished | None = None
    _worked_before_s: float = 0.0
    _measuring_since_s: float = 0.0
    _last_measured_s: float = 0.0

    def apply(self, entry: JournalEntry) -> None:
        """Takes in the next event."""
        if isinstance(entry.event, AttemptStarted):
            self._start(entry.event, entry.t)
        self.last_event_s = entry.t
        self._take(entry.event)

    def _take(self, event: Event) -> None:  # noqa: C901 - one line per event
        match event:
            case StageChanged():
                self._enter(event)
            case ProfilePlanned():
                self.planned = event
            case FloorMeasured():
                self.floor = event
            case LayerMeasured():
                self._take_layer(event)
            case BenchPlanned():
                self.bench_plan = event
                self.bench_rows = {row.label: row for row in event.rows} | self.bench_rows
            case BenchRowUpdated():
                self.bench_rows[event.row.label] = event.row
            case BenchFinished():
                self.bench_result = event.result
            case ArtifactWritten():
                self.artifacts.append(event)
            case AttemptFinished():
                self.finished = event

    @property
    def worked_s(self) -> float:
        """Seconds from start to last event, summed over the attempts."""
        return self._worked_before_s + self.last_event_s - self.attempt_started_s

    def _start(self, event: AttemptStarted, t: float) -> None:
        self._worked_before_s = self.worked_s
        self.attempts = event.attempt
        self.attempt_started_s = t
        self.stage, self.finished = None, None
        self.measured_in_attempt, self._measuring_since_s = 0, 0.0

    def _enter(self, event: StageChanged) -> None:
        self.stage = event
        if event.stage == "measuring" and not self._measuring_since_s:
            self._measuring_since_s = self.last_event_s

    def _take_layer(self, event: LayerMeasured) -> None:
        self.measured.setdefault(event.layer, event)
        self.measured_in_attempt += 1
        self._last_measured_s = self.last_event_s

    @property
    def total(self) -> int:
        """Layers to measure, or benchmark rows; 0 while it is not known."""
        if self.planned is not None:
            return len(self.planned.layers) - len(self.planned.excluded)
        return len(self.bench_rows)

    @property
    def done(self) -> int:
        """How many of ``total`` are done."""
        if self.planned is not None:
            return len(self.measured)
        ended = (RowStatus.DONE, RowStatus.FAILED)
        return sum(row.status in ended for row in self.bench_rows.values())

    @property
    def eta_s(self) -> float | None:
        """Seconds until every layer is measured, at this attempt's pace; None if unknown."""
        if not self.measured_in_attempt or self.finished is not None:
            return None
        spent_s = self._last_measured_s - self._measuring_since_s
        return (self.total - self.done) * spent_s / self.measured_in_attempt

    @property
    def profile(self) -> Profile | None:
        """The profile as far as it is measured."""
        if self.planned is None:
            return None
        return Profile(
            conditions=self.planned.conditions,
            layers=self.planned.layers,
            excluded=self.planned.excluded,
            measurements=merge_measurements(m.measurements for m in self.measured.values()),
            floor=self.floor.comparisons if self.floor else (),
        )
