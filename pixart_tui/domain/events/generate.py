"""Events of a generation run."""

from __future__ import annotations

from typing import Literal

from pixart_tui.domain.generation import GenerationPlan, PipelineCall
from pixart_tui.domain.values import Value


class GeneratePlanned(Value):
    """The plan of a generation's pipeline calls; once per attempt."""

    type: Literal["generate_planned"] = "generate_planned"
    plan: GenerationPlan


class CallMade(Value):
    """A pipeline call has ended."""

    type: Literal["call_made"] = "call_made"
    call: PipelineCall
