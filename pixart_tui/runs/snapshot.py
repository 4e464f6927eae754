"""A run as its journal tells it: a fold over the events, the same for every screen."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixart_tui.domain.events import (
    ArtifactWritten,
    AttemptFinished,
    AttemptStarted,
    Event,
    Noticed,
    StageChanged,
)
from pixart_tui.runs.folds.benchmark import Benchmark
from pixart_tui.runs.folds.comparison import Comparison
from pixart_tui.runs.folds.generation import Generation
from pixart_tui.runs.folds.profiling import Profiling
from pixart_tui.runs.folds.verification import Verification
from pixart_tui.runs.journal import JournalEntry

Work = Profiling | Benchmark | Verification | Generation | Comparison


@dataclass
class RunSnapshot:
    """The state of a run after the events that were applied.

    Attributes:
        attempts: Workers that started so far.
        attempt_started_s: Unix time of the last start.
        last_event_s: Unix time of the last event.
        stage: Where the work is.
        notices: What the last attempt had to say about its work.
        artifacts: Files that stand complete.
        finished: How the last attempt ended, None while it has not.
        profiling: The measurements, if it is a profile.
        benchmark: The rows, if it is a benchmark.
        verification: The joint measurements, if it verifies a selection.
        generation: The pipeline calls, if it generates images.
        comparison: The pairs, if it compares images.
    """

    attempts: int = 0
    attempt_started_s: float = 0.0
    last_event_s: float = 0.0
    stage: StageChanged | None = None
    notices: list[str] = field(default_factory=list)
    artifacts: list[ArtifactWritten] = field(default_factory=list)
    finished: AttemptFinished | None = None
    profiling: Profiling = field(default_factory=Profiling)
    benchmark: Benchmark = field(default_factory=Benchmark)
    verification: Verification = field(default_factory=Verification)
    generation: Generation = field(default_factory=Generation)
    comparison: Comparison = field(default_factory=Comparison)
    _worked_before_s: float = 0.0

    def apply(self, entry: JournalEntry) -> None:
        """Takes in the next event."""
        if isinstance(entry.event, AttemptStarted):
            self._start(entry.event, entry.t)
        self.last_event_s = entry.t
        self._take(entry.event)
        for work in self._works:
            work.take(entry.event, entry.t)

    def _start(self, event: AttemptStarted, t: float) -> None:
        self._worked_before_s = self.worked_s
        self.attempts = event.attempt
        self.attempt_started_s = t
        self.stage, self.finished, self.notices = None, None, []

    def _take(self, event: Event) -> None:
        match event:
            case StageChanged():
                self.stage = event
            case Noticed():
                self.notices.append(event.text)
            case ArtifactWritten():
                self.artifacts.append(event)
            case AttemptFinished():
                self.finished = event

    @property
    def worked_s(self) -> float:
        """Seconds from start to last event, summed over the attempts."""
        return self._worked_before_s + self.last_event_s - self.attempt_started_s

    @property
    def _works(self) -> tuple[Work, ...]:
        return (
            self.profiling,
            self.benchmark,
            self.verification,
            self.generation,
            self.comparison,
        )

    @property
    def total(self) -> int:
        """Layers, samples, rows, steps, joint measurements, or pairs; 0 while unknown."""
        return sum(work.total for work in self._works)

    @property
    def done(self) -> int:
        """How many of ``total`` are done."""
        return sum(work.done for work in self._works)

    @property
    def eta_s(self) -> float | None:
        """Seconds until a profile is measured; None if unknown, and for other kinds of run."""
        return self.profiling.eta_s
