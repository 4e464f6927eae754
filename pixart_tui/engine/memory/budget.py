"""From a budget in bytes to switches, for one pipeline and one size of image."""

from __future__ import annotations

from dataclasses import dataclass

from pixart_tui.domain.deploying.deployment import Deployment, MemoryOptions
from pixart_tui.domain.deploying.memory_plan import choose_memory, estimate_peak_bytes
from pixart_tui.engine.memory.parts import memory_parts
from pixart_tui.engine.typing import Pipeline


@dataclass(frozen=True, slots=True)
class Settled:
    """The choice that a budget makes.

    Attributes:
        options: The switches, without the budget.
        peak_bytes: What a call is estimated to take with them.
    """

    options: MemoryOptions
    peak_bytes: int


def settle_budget(
    pipeline: Pipeline,
    deployment: Deployment,
    budget_bytes: int,
    *,
    height: int,
    width: int,
    text_tokens: int,
    guidance: bool,
) -> Settled:
    """Chooses the cheapest switches that a budget allows.

    Args:
        pipeline: As it was loaded, nothing quantized yet.
        deployment: What else will be done to it: quantized layers are smaller.
        budget_bytes: What a pipeline call may take.
        height: Image height in pixels.
        width: Image width in pixels.
        text_tokens: Tokens that a prompt is padded to.
        guidance: Whether there is classifier-free guidance.

    Raises:
        RequestError: The budget is too small; it names the smallest one that would do.
    """
    parts = memory_parts(
        pipeline,
        height=height,
        width=width,
        text_tokens=text_tokens,
        guidance=guidance,
        quantized=deployment.choice.assignments,
        doubled=deployment.doubled_layers,
    )
    options = choose_memory(parts, budget_bytes)
    return Settled(options, estimate_peak_bytes(parts, options))
