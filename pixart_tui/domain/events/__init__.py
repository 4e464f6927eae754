"""Events of a run, in order: the lines of ``events.jsonl``.

The engine yields these; the worker journals them; every screen is a fold over them.
Imports the values that events hold, of every other room.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from pixart_tui.domain.events.bench import (
    BenchFinished,
    BenchPlanned,
    BenchRowUpdated,
    WarmupProgressed,
)
from pixart_tui.domain.events.compare import ComparePlanned, ImagesCompared
from pixart_tui.domain.events.generate import CallMade, GeneratePlanned
from pixart_tui.domain.events.profile import (
    BatchChosen,
    FloorMeasured,
    LatencyMeasured,
    LayerMeasured,
    LookTaken,
    PassPlanned,
    ProfileChecked,
    ProfilePlanned,
    SampleMeasured,
)
from pixart_tui.domain.events.run import (
    ArtifactWritten,
    AttemptFinished,
    AttemptStarted,
    Failure,
    Noticed,
    StageChanged,
)
from pixart_tui.domain.events.verify import JointMeasured, VerifyFinished, VerifyPlanned

__all__ = [
    "ArtifactWritten",
    "AttemptFinished",
    "AttemptStarted",
    "BatchChosen",
    "BenchFinished",
    "BenchPlanned",
    "BenchRowUpdated",
    "CallMade",
    "ComparePlanned",
    "Event",
    "Failure",
    "FloorMeasured",
    "GeneratePlanned",
    "ImagesCompared",
    "JointMeasured",
    "LatencyMeasured",
    "LayerMeasured",
    "LookTaken",
    "Noticed",
    "PassPlanned",
    "ProfileChecked",
    "ProfilePlanned",
    "SampleMeasured",
    "StageChanged",
    "VerifyFinished",
    "VerifyPlanned",
    "WarmupProgressed",
]

Event = Annotated[
    AttemptStarted
    | StageChanged
    | ProfilePlanned
    | LatencyMeasured
    | BatchChosen
    | FloorMeasured
    | LayerMeasured
    | PassPlanned
    | SampleMeasured
    | LookTaken
    | ProfileChecked
    | BenchPlanned
    | BenchRowUpdated
    | WarmupProgressed
    | BenchFinished
    | VerifyPlanned
    | JointMeasured
    | VerifyFinished
    | GeneratePlanned
    | CallMade
    | Noticed
    | ComparePlanned
    | ImagesCompared
    | ArtifactWritten
    | AttemptFinished,
    Field(discriminator="type"),
]
