"""Finds by trying which quant types a device runs for real, and which are simulated."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from importlib.metadata import version
from typing import Final

import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import PixartTuiError, first_line
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_rules import hardware_limit
from pixart_tui.domain.layers.quant_types import QuantType, parse_quant_type
from pixart_tui.engine.quant.real import config_name, quantize_weight
from pixart_tui.engine.quant.simulated import SimulatedLinear

TRIAL_TOLERANCE: Final = 0.02
"""Relative error between the kernel and the reference that a trial allows: bfloat16 output."""

_TRIAL_ROWS, _TRIAL_IN, _TRIAL_OUT = 48, 256, 128


class Execution(StrEnum):
    """How a quant type is computed."""

    REAL = "real"
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class ExecutionPlan:
    """The execution on a device, and its reason.

    Attributes:
        execution: Real kernels, or the reference numerics.
        backend: What computes it.
        reason: One sentence for the user.
    """

    execution: Execution
    backend: str
    reason: str


@lru_cache
def plan_execution(quant_type: QuantType, device: torch.device) -> ExecutionPlan:
    """Whether this device runs the quant type for real, by running a small layer there.

    Args:
        quant_type: What would be run.
        device: A CPU or a CUDA device; anything else is simulated.
    """
    obstacle = _obstacle(quant_type, device) or _failed_trial(quant_type, device)
    if obstacle is not None:
        return ExecutionPlan(Execution.SIMULATED, "reference numerics", obstacle)
    backend = f"torchao {version('torchao')} {config_name(quant_type)}"
    reason = f"a trial layer matched the reference on {_device_words(device)}"
    return ExecutionPlan(Execution.REAL, backend, reason)


def plan_choice(choice: Choice, device: torch.device) -> ExecutionPlan | None:
    """How all that is quantized runs: for real where each of its quant types does.

    Args:
        choice: What is quantized.
        device: As in :func:`plan_execution`.

    Returns:
        What holds for all of it; None where nothing is quantized.
    """
    plans = [plan_execution(parse_quant_type(name), device) for name in choice.quant_types]
    simulated = [plan for plan in plans if plan.execution is Execution.SIMULATED]
    decisive = simulated or plans
    if not decisive:
        return None
    backends, reasons = (
        "; ".join(dict.fromkeys(words))
        for words in ((x.backend for x in decisive), (x.reason for x in decisive))
    )
    return ExecutionPlan(decisive[0].execution, backends, reasons)


def _obstacle(quant_type: QuantType, device: torch.device) -> str | None:
    if device.type not in {"cpu", "cuda"}:
        return f"no kernel is known for devices of type {device.type}"
    return hardware_limit(quant_type, _capability(device))


def _capability(device: torch.device) -> tuple[int, int] | None:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else None


def _device_words(device: torch.device) -> str:
    capability = _capability(device)
    if capability is None:
        return f"the CPU, torch {torch.__version__}"
    return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"


@torch.no_grad()
def _failed_trial(quant_type: QuantType, device: torch.device) -> str | None:
    """Why a small bfloat16 layer did not run, or ran wrongly; None if it matched."""
    linear, x = _trial(device)
    expected = SimulatedLinear(linear, quant_type)(x)
    try:
        quantize_weight(linear, quant_type)
        actual = linear(x)
    except PixartTuiError as error:
        return f"its kernel refused a trial: {error.cause}"
    except Exception as error:  # what a kernel raises on a machine that lacks it is anyone's guess
        return f"its kernel failed in a trial: {first_line(error)}"
    difference = _relative_error(actual, expected)
    # "not <=" so that a NaN counts as a failure.
    if not difference <= TRIAL_TOLERANCE:
        return f"its kernel differed from the reference by {difference:.2g} in a trial"
    return None


def _trial(device: torch.device) -> tuple[nn.Linear, Tensor]:
    """A layer and an input, always the same, that leave the global random state alone."""
    generator = torch.Generator().manual_seed(0)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator) * 2 - 1

    linear = nn.Linear(_TRIAL_IN, _TRIAL_OUT, device="meta", dtype=torch.bfloat16)
    linear.to_empty(device=device)
    linear.weight.copy_(uniform(_TRIAL_OUT, _TRIAL_IN))
    linear.bias.copy_(uniform(_TRIAL_OUT))
    return linear, uniform(_TRIAL_ROWS, _TRIAL_IN).to(device, torch.bfloat16)


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).float().norm() / expected.float().norm())
