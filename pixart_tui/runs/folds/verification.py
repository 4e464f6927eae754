"""Folds the events of a run that verifies a selection."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixart_tui.domain.events import Event, JointMeasured, VerifyFinished, VerifyPlanned
from pixart_tui.domain.selecting.verification import JointMeasurement


@dataclass
class Verification:
    """The joint measurements of selections.

    Attributes:
        plan: The measurements to make, None until they are known.
        trials: Those that are made, in order.
        result: The verified selection.
    """

    plan: VerifyPlanned | None = None
    trials: list[JointMeasurement] = field(default_factory=list)
    result: VerifyFinished | None = None

    def take(self, event: Event, _t: float) -> None:
        """Takes in the next event."""
        match event:
            case VerifyPlanned():
                self.plan = event
            case JointMeasured():
                self.trials.append(event.trial)
            case VerifyFinished():
                self.result = event

    @property
    def total(self) -> int:
        """Joint measurements in all.

        Fewer rounds than planned may do; those that were not needed no longer count.
        """
        if self.result is not None:
            return len(self.trials)
        if self.plan is None:
            return 0
        purposes = [trial.purpose for trial in self.trials]
        reporting = any(purpose != "repair" for purpose in purposes)
        repairs = purposes.count("repair") if reporting else self.plan.rounds
        return repairs + self.plan.reports

    @property
    def done(self) -> int:
        """Joint measurements that are made."""
        return len(self.trials)
