"""Which layers a quantized row quantizes, and whether the device runs them for real."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.quant_rules import exclusion_reason
from pixart_tui.domain.quant_types import QuantType, parse_quant_type
from pixart_tui.engine.quant.execution import Execution, ExecutionPlan, plan_execution


@dataclass(frozen=True, slots=True)
class Quantization:
    """What a quantized row does to the model.

    Attributes:
        quant_type: What the layers become.
        layers: The layers that are quantized.
        skipped: Layers that were asked for and that the kernels cannot run, with the reason.
        plan: Real kernels, or the simulation and why.
    """

    quant_type: QuantType
    layers: tuple[str, ...]
    skipped: Mapping[str, str]
    plan: ExecutionPlan

    @property
    def note(self) -> str:
        """Which kernel runs or why it is simulated, and what was skipped."""
        real = self.plan.execution is Execution.REAL
        parts = [self.plan.backend if real else self.plan.reason]
        if self.skipped:
            fqn, reason = next(iter(self.skipped.items()))
            parts.append(f"{len(self.skipped)} layers skipped ({fqn}: {reason})")
        return "; ".join(parts)


def plan_quantization(
    quant_type_name: str,
    wanted: Sequence[str] | None,
    layers: Sequence[Layer],
    device: torch.device,
) -> Quantization:
    """Settles what is quantized.

    Args:
        quant_type_name: nexfort's name of the quant type.
        wanted: Layers to quantize; None for every layer that the kernels can run.
        layers: The model's layers.
        device: Where it runs.

    Raises:
        RequestError: No such quant type, names that the model does not have, or nothing left.
    """
    quant_type = parse_quant_type(quant_type_name)
    by_fqn = {layer.fqn: layer for layer in layers}
    names = tuple(by_fqn) if wanted is None else tuple(wanted)
    _refuse_unknown([name for name in names if name not in by_fqn])
    reasons = {name: exclusion_reason(by_fqn[name], quant_type) for name in names}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    chosen = tuple(name for name in names if name not in skipped)
    if not chosen:
        raise RequestError(
            f"no layer would be quantized to {quant_type_name}",
            next(iter(skipped.values()), "the selection is empty"),
            "ask for a larger share of the layers or another quant type",
        )
    return Quantization(quant_type, chosen, skipped, plan_execution(quant_type, device))


def _refuse_unknown(names: list[str]) -> None:
    if not names:
        return
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    raise RequestError(
        "the layer file names layers that the model does not have",
        ", ".join(names[:3]) + more,
        "profile this model, or name the file that was measured on it",
    )
