"""Folds the events of a run that generates images."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixart_tui.domain.events import (
    AttemptStarted,
    CallMade,
    Event,
    GeneratePlanned,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.generation import GenerationPlan, PipelineCall


@dataclass
class Generation:
    """The calls of the latest attempt, as each attempt makes its images anew.

    Attributes:
        plan: The pipeline calls to make, None until they are known.
        calls: Those that have ended.
    """

    plan: GenerationPlan | None = None
    calls: list[PipelineCall] = field(default_factory=list)
    _steps_under_way: int = 0

    def take(self, event: Event, _t: float) -> None:
        """Takes in the next event."""
        match event:
            case AttemptStarted():
                self.plan, self.calls, self._steps_under_way = None, [], 0
            case StageChanged():
                self._steps_under_way = event.done if event.stage == Stage.GENERATING else 0
            case GeneratePlanned():
                self.plan = event.plan
            case CallMade():
                self.calls.append(event.call)

    @property
    def total(self) -> int:
        """Denoising steps of all calls."""
        return self.plan.total_steps if self.plan is not None else 0

    @property
    def done(self) -> int:
        """Steps that are done, those of the call under way included."""
        if self.plan is None:
            return 0
        return sum(call.steps for call in self.calls) + self._steps_under_way
