"""Replacing the linears of a transformer by quantized ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches

from torch import Tensor, nn

from pixart_tui.domain.errors import PixartTuiError, RequestError
from pixart_tui.domain.layers.quant_types import QuantType
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
            swap(transformer, fqn, SimulatedLinear(linear, quant_types[fqn]))
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
    with layers_quantized(transformer, {fqn: quant_type}, layout, execution=execution):
        yield


@contextmanager
def layers_quantized(
    transformer: nn.Module,
    quant_types: Mapping[str, QuantType],
    layout: BatchLayout = ONE_IMAGE,
    *,
    execution: Execution = Execution.SIMULATED,
    only_while: Callable[[], bool] | None = None,
) -> Iterator[None]:
    """Quantizes linears while the context is open and always puts the originals back.

    Args:
        transformer: The module that holds them; its other layers keep their dtype.
        quant_types: What each named linear becomes.
        layout: How images lie in the batch, for per-tensor activation scales.
        execution: The reference numerics, or the real kernels on the device of the weights.
        only_while: Asked at each call of such a layer: whether it is quantized now. None: always.

    Raises:
        RequestError: There is no such linear, or a kernel cannot take its shape.
        WorkError: A kernel failed.
    """
    kind = IsolatedRealLinear if execution is Execution.REAL else SimulatedLinear
    linears = {fqn: _linear(transformer, fqn) for fqn in quant_types}
    try:
        for fqn, linear in linears.items():
            quantized: nn.Module = kind(linear, quant_types[fqn], layout)
            if only_while is not None:
                quantized = GatedLinear(linear, quantized, only_while)
            swap(transformer, fqn, quantized)
        yield
    finally:
        for fqn, linear in linears.items():
            swap(transformer, fqn, linear)


class GatedLinear(nn.Module):
    """A linear that is quantized at some of its calls.

    Args:
        plain: The layer.
        quantized: What stands in for it.
        only_while: Asked at each call: whether it is quantized now.
    """

    def __init__(
        self, plain: nn.Linear, quantized: nn.Module, only_while: Callable[[], bool]
    ) -> None:
        super().__init__()
        self.plain, self.quantized, self._only_while = plain, quantized, only_while

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, (..., N) for an input (..., K)."""
        output: Tensor = (self.quantized if self._only_while() else self.plain)(x)
        return output


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
            title = f"{fqn}: {error.title}"
            raise type(error)(title, cause=error.cause, next_step=error.next_step) from error


def _linear(transformer: nn.Module, fqn: str) -> nn.Linear:
    """The linear of that name, not yet quantized."""
    modules = dict(transformer.named_modules())
    module = modules.get(fqn)
    if isinstance(module, nn.Linear) and not is_quantized(module):
        return module
    if module is None:
        linears = [name for name, found in modules.items() if isinstance(found, nn.Linear)]
        closest = ", ".join(get_close_matches(fqn, linears, n=3)) or ", ".join(linears[:3])
        raise RequestError(
            f"there is no layer {fqn!r}", next_step=f"the closest ones are {closest}"
        )
    raise RequestError(
        f"{fqn!r} cannot be quantized",
        cause=f"it is {type(module).__name__}, not a plain nn.Linear",
        next_step="name a linear layer of a model that is not quantized yet",
    )


def swap(transformer: nn.Module, fqn: str, module: nn.Module) -> None:
    """Puts a module in place of the one of that name."""
    parent, _, name = fqn.rpartition(".")
    setattr(transformer.get_submodule(parent), name, module)
