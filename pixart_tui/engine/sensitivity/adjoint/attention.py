"""Taps at self-attention: the local error of multiplying in fp8, times the gradient there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn import functional

from pixart_tui.engine.quant.attention_swap import fp8_product
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.adjoint.passes import Pass, inner_products
from pixart_tui.engine.typing import Attention, Processor

if TYPE_CHECKING:
    from pixart_tui.engine.sensitivity.adjoint.taps import Taps


class AttentionError:
    """The change of the self-attention product by fp8 attention.

    Args:
        execution: The reference numerics, or the kernel of a Hopper GPU.
    """

    def __init__(self, execution: Execution) -> None:
        self._execution = execution

    def __call__(self, q: Tensor, k: Tensor, v: Tensor, exact: Tensor) -> Tensor:
        """The change, shaped like ``exact``.

        Args:
            q: Queries (B, H, S, D), of the reference model.
            k: Keys, likewise.
            v: Values, likewise.
            exact: Their attention in the model's dtype, (B, S, H D).
        """
        heads = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        changed = fp8_product(*heads, self._execution).float()
        if exact.dtype.itemsize < torch.float32.itemsize:
            # Between the two rounded outputs the error would lose some of its digits.
            y = functional.scaled_dot_product_attention(q.float(), k.float(), v.float())
            exact, dtype = y.transpose(1, 2).flatten(2), exact.dtype
            return (changed.flatten(2) - exact).to(dtype)
        return changed.flatten(2).to(exact.dtype) - exact


class TappedAttention:
    """A processor of self-attention; a backward pass fills its effects.

    Outside a pass the processor that was there does what it did. Within one it is that of diffusers
    for attention without a mask, operation by operation, with the tap behind the product.

    Args:
        taps: Those of the transformer.
        original: The processor that was there.
        target: Where it is among the targets of a pass's effects.
        place: Where fp8 attention is among their quant types.
    """

    def __init__(self, taps: Taps, original: Processor, target: int, place: int) -> None:
        self._taps, self._original = taps, original
        self._target, self._place = target, place
        self._error = AttentionError(taps.execution)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """The output of the attention module, recorded while a pass is under way."""
        found = self._taps.pass_
        if found is None or self._taps.adding or not torch.is_grad_enabled():
            plain: Tensor = self._original(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return plain
        assert encoder_hidden_states is None
        assert attention_mask is None
        q, k, v = (
            linear(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for linear in (attn.to_q, attn.to_k, attn.to_v)
        )
        y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        with torch.no_grad():
            error = self._error(q.detach(), k.detach(), v.detach(), y.detach())
        attended: Tensor = _Attended.apply(y, self, error[None], found)  # type: ignore[no-untyped-call]
        projected: Tensor = attn.to_out[1](attn.to_out[0](attended)) / attn.rescale_output_factor
        return projected

    def record(self, gradients: Tensor, errors: Tensor, found: Pass) -> None:
        """Records the effects of draws.

        Args:
            gradients: Of the product, (draws, rows, S, H D).
            errors: The local error, (1, rows, S, H D).
            found: Takes the effects.
        """
        draws = slice(found.first, found.first + len(gradients))
        effects = inner_products(gradients, errors, found.layout).float()
        found.effects[:, draws, self._target, self._place] = effects[:, :, 0]


class _Attended(torch.autograd.Function):
    """The product of attention as it is, whose gradient is also multiplied with the local error."""

    @staticmethod
    def forward(
        ctx: FunctionCtx, y: Tensor, tap: TappedAttention, errors: Tensor, found: Pass
    ) -> Tensor:
        ctx.tap, ctx.errors, ctx.found = tap, errors, found  # type: ignore[attr-defined]
        return y.view_as(y)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        seen: Tensor = _Seen.apply(gradient, ctx.tap, ctx.errors, ctx.found)  # type: ignore[no-untyped-call]
        return seen, None, None, None


class _Seen(torch.autograd.Function):
    """Passes a gradient on, of one draw or, under ``vmap``, of several, and records its effects."""

    @staticmethod
    def forward(gradient: Tensor, tap: TappedAttention, errors: Tensor, found: Pass) -> Tensor:
        tap.record(gradient[None], errors, found)
        return gradient.view_as(gradient)

    @staticmethod
    def setup_context(_ctx: FunctionCtx, _inputs: tuple[Any, ...], _output: Tensor) -> None:
        pass

    @staticmethod
    def vmap(
        _info: Any,
        in_dims: tuple[int | None, ...],
        gradient: Tensor,
        tap: TappedAttention,
        errors: Tensor,
        found: Pass,
    ) -> tuple[Tensor, int]:
        assert in_dims[0] is not None
        gradients = gradient.movedim(in_dims[0], 0)
        tap.record(gradients, errors, found)
        return gradients, 0
