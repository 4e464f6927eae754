"""Events of a verification run."""

from __future__ import annotations

from typing import Literal

from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import ImageSet, JointMeasurement, Verification
from pixart_tui.domain.values import Value


class VerifyPlanned(Value):
    """The plan of a verification; written once per attempt, equal in all of them.

    Attributes:
        machine: Where it is measured.
        versions: With what.
        conditions: Those of each profile.
        fitting: What the profiles were measured on.
        repairing: What the selection is repaired on.
        reporting: What the verified figure is measured on.
        rounds: The most selections that are measured on the repair set.
        reports: Joint measurements on the reporting set.
    """

    type: Literal["verify_planned"] = "verify_planned"
    machine: Machine
    versions: Versions
    conditions: tuple[Conditions, ...]
    fitting: ImageSet
    repairing: ImageSet
    reporting: ImageSet
    rounds: int
    reports: int


class JointMeasured(Value):
    """A selection was measured as a whole."""

    type: Literal["joint_measured"] = "joint_measured"
    trial: JointMeasurement


class VerifyFinished(Value):
    """The selection is settled and verified."""

    type: Literal["verify_finished"] = "verify_finished"
    selection: Selection
    verification: Verification
