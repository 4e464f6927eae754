"""Replacing the linears of a transformer by quantized ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches

from torch import nn

from pixart_tui.domain.errors import PixartTuiError, RequestError
from pixart_tui.domain.quant_types import QuantType
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.isolated import IsolatedRealLinear
from pixart_tui.engine.quant.real import is_quantized, quantize_weight, restore_weight
from pixart_tui.engine.quant.simulated import ONE_IMAGE, BatchLayout, SimulatedLinear


def quantize_layers(
    transformer: nn.Module, quant_types: Mapping[str, QuantType], *, execution: Execution
) -> tuple[str, ...]:
    """Replaces exactly the named linears in place: all of them, or none if one fails.

    Args:
        transformer: Its names are those of the keys.
        quant_types: What each named linear becomes.
        execution: Real kernels on the device where the weights are, or the simulation.

    Returns:
        The names that were replaced, in the order given.

    Raises:
        RequestError: No such linear, already quantized, or a shape or dtype that the kernel
            refuses.
        WorkError: A layer was not replaced.
    """
    linears = {fqn: _linear(transformer, fqn) for fqn in quant_types}
    if execution is Execution.SIMULATED:
        for fqn, linear in linears.items():
            _swap(transformer, fqn, SimulatedLinear(linear, quant_types[fqn]))
    else:
        _quantize_for_real(linears, quant_types)
    return tuple(linears)


@contextmanager
def one_layer_quantized(
    transformer: nn.Module,
    fqn: str,
    quant_type: QuantType,
    layout: BatchLayout = ONE_IMAGE,
    *,
    execution: Execution = Execution.SIMULATED,
) -> Iterator[None]:
    """Quantizes one linear while the context is open and always puts the original back.

    Args:
        transformer: The module that holds it; its other layers keep their dtype.
        fqn: Name of the linear.
        quant_type: What it is quantized to.
        layout: How images lie in the batch, for per-tensor activation scales.
        execution: The reference numerics, or the real kernel on the device of the weights.

    Raises:
        RequestError: There is no such linear, or the kernel cannot take its shape.
        WorkError: The kernel failed.
    """
    linear = _linear(transformer, fqn)
    kind = IsolatedRealLinear if execution is Execution.REAL else SimulatedLinear
    _swap(transformer, fqn, kind(linear, quant_type, layout))
    try:
        yield
    finally:
        _swap(transformer, fqn, linear)


def _quantize_for_real(
    linears: Mapping[str, nn.Linear], quant_types: Mapping[str, QuantType]
) -> None:
    originals = {fqn: linear.get_parameter("weight") for fqn, linear in linears.items()}
    for fqn, linear in linears.items():
        try:
            quantize_weight(linear, quant_types[fqn])
        except PixartTuiError as error:
            for name, weight in originals.items():
                restore_weight(linears[name], weight)
            raise type(error)(f"{fqn}: {error.title}", error.cause, error.next_step) from error


def _linear(transformer: nn.Module, fqn: str) -> nn.Linear:
    """The linear of that name, not yet quantized."""
    modules = dict(transformer.named_modules())
    module = modules.get(fqn)
    if isinstance(module, nn.Linear) and not is_quantized(module):
        return module
    if module is None:
        linears = [name for name, found in modules.items() if isinstance(found, nn.Linear)]
        closest = ", ".join(get_close_matches(fqn, linears, n=3)) or ", ".join(linears[:3])
        raise RequestError(f"there is no layer {fqn!r}", "", f"the closest ones are {closest}")
    raise RequestError(
        f"{fqn!r} cannot be quantized",
        f"it is {type(module).__name__}, not a plain nn.Linear",
        "name a linear layer of a model that is not quantized yet",
    )


def _swap(transformer: nn.Module, fqn: str, module: nn.Module) -> None:
    parent, _, name = fqn.rpartition(".")
    setattr(transformer.get_submodule(parent), name, module)
