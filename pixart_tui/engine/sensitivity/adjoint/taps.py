"""Taps at the linear layers: the local error of quantizing one, times the gradient there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from pixart_tui.domain.layers.quant_types import QuantType
from pixart_tui.engine.packed_linear import half_product
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.isolated import IsolatedRealLinear
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear
from pixart_tui.engine.sensitivity.adjoint.attention import TappedAttention
from pixart_tui.engine.sensitivity.adjoint.passes import Pass, inner_products

Product = Callable[[Tensor], Tensor]


class LocalError:
    """The change of one linear's output by quantizing the linear to one quant type.

    Simulated, the change Q(x) Q(W) - x W is written as x (Q(W) - W) + (Q(x) - x) Q(W), one product
    of twice the length: the differences are formed in float32, so that nothing cancels in the
    product, which may then be of lower precision. A real kernel's change is its output minus the
    layer's.

    Args:
        linear: The layer.
        quant_type: What it is quantized to.
        layout: How images lie in the batch, for per-tensor activation scales.
        execution: The reference numerics or the real kernel.
    """

    def __init__(
        self, linear: nn.Linear, quant_type: QuantType, layout: BatchLayout, execution: Execution
    ) -> None:
        self._real: nn.Module | None = None
        self._linear = linear
        if execution is Execution.REAL:
            self._real = IsolatedRealLinear(linear, quant_type, layout)
            return
        self._simulated = SimulatedLinear(linear, quant_type, layout)
        weight = self._simulated.weight.detach()
        change = (weight.float() - linear.weight.detach().float()).to(weight.dtype)
        self._rounds_inputs = not quant_type.weight_only
        factors = [change, weight] if self._rounds_inputs else [change]
        self._product = half_product(torch.cat(factors, 1))

    def __call__(self, x: Tensor) -> Tensor:
        """The change of the layer's output, (..., N), at its input (..., K)."""
        if self._real is not None:
            plain = functional.linear(x, self._linear.weight, self._linear.bias)
            changed: Tensor = self._real(x).float() - plain.float()
            return changed.to(x.dtype)
        if self._rounds_inputs:
            x = torch.cat([x, self._simulated.rounding_error(x)], -1)
        return self._product(x)


class Taps:
    """Replaces the forward of a transformer's linears; a backward pass fills their effects.

    Layers without a quant type are replaced too: no gradient flows through packed weights.
    Outside a pass the layers compute what they did. One transformer has one ``Taps``: workers in
    parallel need transformers of their own.

    Args:
        transformer: Holds the layers.
        quant_types: Layer to the quant types it can have, in the order of ``types``.
        types: Every quant type.
        execution: The reference numerics or the real kernel.
        attention: Names of attention modules that are tapped, and where each is among the targets
            of the effects.

    Attributes:
        anchor: A leaf that every tapped layer depends on, so that a backward pass reaches those
            whose input needs no gradient.
    """

    def __init__(
        self,
        transformer: nn.Module,
        quant_types: Mapping[str, Sequence[QuantType]],
        types: Sequence[QuantType],
        execution: Execution,
        attention: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.anchor = torch.zeros((), requires_grad=True)
        self.keeps_weights = True
        self._taps: list[Tap] = []
        self.pass_: Pass | None = None
        self.holding: tuple[QuantType, BatchLayout] | None = None
        self.adding = False
        self.execution = execution
        for index, (fqn, able) in enumerate(quant_types.items()):
            linear = cast(nn.Linear, transformer.get_submodule(fqn))
            places = [types.index(quant_type) for quant_type in able]
            tap = Tap(self, linear, index, able, places)
            linear.forward = tap.forward  # type: ignore[method-assign, assignment]
            self._taps.append(tap)
        for name, target in attention.items():
            module = cast(Any, transformer.get_submodule(name))
            module.set_processor(TappedAttention(self, module.processor, target, len(types)))

    def keep_weights(self, keep: bool) -> None:
        """Whether quantized weights are kept from call to call; those that are there go if not."""
        self.keeps_weights = keep
        for tap in self._taps if not keep else ():
            tap.errors.clear()

    @contextmanager
    def recording(self, found: Pass) -> Iterator[None]:
        """Layers record while this is open."""
        self.pass_ = found
        try:
            yield
        finally:
            self.pass_ = None

    @contextmanager
    def holding_errors(self, quant_type: QuantType, layout: BatchLayout) -> Iterator[None]:
        """Every layer that runs while this is open holds its local error for its next run.

        Args:
            quant_type: Whose errors.
            layout: How images lie among the rows.
        """
        self.holding = (quant_type, layout)
        try:
            yield
        finally:
            self.holding = None

    @contextmanager
    def adding_errors(self) -> Iterator[None]:
        """Every layer that runs while this is open adds the local error that it holds.

        So the layers of other rows act with the very errors that the effects are worked out from,
        where really quantized inputs would round anew.
        """
        self.adding = True
        try:
            yield
        finally:
            self.adding = False


class Tap:
    """One linear's tap."""

    def __init__(
        self,
        taps: Taps,
        linear: nn.Linear,
        index: int,
        quant_types: Sequence[QuantType],
        places: Sequence[int],
    ) -> None:
        self.taps, self.linear, self.index = taps, linear, index
        self.quant_types = quant_types
        # A slice where it will do: writing there takes a tenth of the time.
        together = list(places) == list(range(len(places)))
        self.places = slice(len(places)) if together else list(places)
        self.product = cast(Product, linear.forward)
        self.pull = half_product(linear.weight.detach().T)
        self.errors: dict[tuple[QuantType, BatchLayout], LocalError] = {}
        self.held: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, recorded while a pass is under way."""
        if self.taps.adding:
            return self._with_held_error(x)
        if self.taps.pass_ is not None and torch.is_grad_enabled():
            tapped: Tensor = _Tapped.apply(x, self.taps.anchor, self, self.taps.pass_)  # type: ignore[no-untyped-call]
            return tapped
        if self.taps.holding is not None and self.taps.holding[0] in self.quant_types:
            self.held = self._error(*self.taps.holding)(x)
        return self.product(x)

    def _with_held_error(self, x: Tensor) -> Tensor:
        y, held, self.held = self.product(x), self.held, None
        return y if held is None else y.add_(held)

    def hold(self, errors: Tensor) -> None:
        """Keeps what is to be held of the local errors (types, *rows, N), if anything is."""
        if self.taps.holding is not None and self.taps.holding[0] in self.quant_types:
            self.held = errors[self.quant_types.index(self.taps.holding[0])]

    def pull_draws(self, gradients: Tensor, errors: Tensor | None, found: Pass) -> Tensor:
        """Gradients of the input, (draws, rows, ..., K); records the draws' effects.

        Args:
            gradients: Of the output, (draws, rows, ..., N).
            errors: The local errors, (types, rows, ..., N); None for a layer without a quant type.
            found: Takes the effects.
        """
        if errors is not None:
            draws = slice(found.first, found.first + len(gradients))
            effects = inner_products(gradients, errors, found.layout).float()
            found.effects[:, draws, self.index, self.places] = effects
        return self.pull(gradients)

    def local_errors(self, x: Tensor, layout: BatchLayout) -> Tensor:
        """The change of the output for each quant type, (types, *rows, N)."""
        errors = [self._error(quant_type, layout)(x) for quant_type in self.quant_types]
        return torch.stack(errors) if len(errors) > 1 else errors[0][None]

    def _error(self, quant_type: QuantType, layout: BatchLayout) -> LocalError:
        key = (quant_type, layout)
        if key in self.errors:
            return self.errors[key]
        made = LocalError(self.linear, quant_type, layout, self.taps.execution)
        if self.taps.keeps_weights:
            self.errors[key] = made
        return made


class _Tapped(torch.autograd.Function):
    """A linear whose backward also multiplies the gradient with the local errors."""

    @staticmethod
    def forward(ctx: FunctionCtx, x: Tensor, _anchor: Tensor, tap: Tap, found: Pass) -> Tensor:
        ctx.tap, ctx.found, ctx.errors = tap, found, None  # type: ignore[attr-defined]
        if tap.quant_types:
            ctx.errors = tap.local_errors(x, found.layout)  # type: ignore[attr-defined]
            tap.hold(ctx.errors)  # type: ignore[attr-defined]
        return tap.product(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        pulled: Tensor = _Pulled.apply(gradient, ctx.tap, ctx.errors, ctx.found)  # type: ignore[no-untyped-call]
        return pulled, None, None, None


class _Pulled(torch.autograd.Function):
    """The backward of a tapped linear, for one draw or, under ``vmap``, for several at once."""

    @staticmethod
    def forward(gradient: Tensor, tap: Tap, errors: Tensor | None, found: Pass) -> Tensor:
        return tap.pull_draws(gradient[None], errors, found)[0]

    @staticmethod
    def setup_context(_ctx: FunctionCtx, _inputs: tuple[Any, ...], _output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(
        _info: Any,
        in_dims: tuple[int | None, ...],
        gradient: Tensor,
        tap: Tap,
        errors: Tensor | None,
        found: Pass,
    ) -> tuple[Tensor, int]:
        assert in_dims[0] is not None
        return tap.pull_draws(gradient.movedim(in_dims[0], 0), errors, found), 0
