"""Self-attention of some blocks in fp8, in the model that diffusers runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.quant_rules import attention_exclusion
from pixart_tui.engine.quant.attention import reference_fp8_attention
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.typing import Attention, Processor

Gate: TypeAlias = Callable[[], bool]


def fp8_product(q: Tensor, k: Tensor, v: Tensor, execution: Execution) -> Tensor:
    """Fp8 attention of queries, keys and values (B, S, H, D), scores divided by sqrt(D).

    Args:
        q: Of any floating-point dtype.
        k: Likewise.
        v: Likewise.
        execution: The reference numerics, or the kernel of a Hopper GPU, which reads bfloat16.

    Returns:
        (B, S, H, D), float32 or, of the kernel, bfloat16.
    """
    scale = 1 / math.sqrt(q.shape[-1])
    if execution is Execution.SIMULATED:
        return reference_fp8_attention(q, k, v, scale=scale)
    # Only here: it needs triton, which machines without CUDA do not have.
    from pixart_tui.engine.kernels.quantize_heads import fp8_attention

    return fp8_attention(*(x.bfloat16().contiguous() for x in (q, k, v)), scale=scale)


@contextmanager
def attention_in_fp8(
    transformer: nn.Module,
    names: Collection[str],
    *,
    execution: Execution = Execution.SIMULATED,
    only_while: Gate | None = None,
) -> Iterator[None]:
    """Runs the self-attention of some blocks in fp8 while the context is open.

    Args:
        transformer: A ``PixArtTransformer2DModel``.
        names: Attention modules, ``transformer_blocks.3.attn1``.
        execution: The reference numerics, or the kernel of a Hopper GPU.
        only_while: Asked at each call: whether it is in fp8 now. None: always.

    Raises:
        RequestError: There is no such module, or the kernel does not take its heads.
    """
    modules = [_attention(transformer, name) for name in names]
    originals = [module.processor for module in modules]
    try:
        put_attention_in_fp8(transformer, names, execution=execution, only_while=only_while)
        yield
    finally:
        for module, original in zip(modules, originals, strict=True):
            module.set_processor(original)


def put_attention_in_fp8(
    transformer: nn.Module,
    names: Collection[str],
    *,
    execution: Execution = Execution.SIMULATED,
    only_while: Gate | None = None,
) -> None:
    """As :func:`attention_in_fp8`, for good."""
    for name in names:
        module = _attention(transformer, name)
        module.set_processor(_Fp8Attention(module.processor, execution, only_while))


def _attention(transformer: nn.Module, name: str) -> Attention:
    modules: dict[str, Any] = dict(transformer.named_modules())
    module = modules.get(name)
    if module is None or not hasattr(module, "set_processor"):
        raise RequestError(
            f"there is no attention {name!r}",
            next_step="profile this model, or name the file that was measured on it",
        )
    reason = attention_exclusion(module.to_q.out_features // module.heads)
    if reason is not None:
        raise RequestError(
            f"{name!r} cannot run in fp8", cause=reason, next_step="keep it in 16 bits"
        )
    return module


class _Fp8Attention:
    """A processor of self-attention without a mask, which multiplies in fp8."""

    def __init__(self, original: Processor, execution: Execution, only_while: Gate | None) -> None:
        self._original, self._execution, self._only_while = original, execution, only_while

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        temb: Tensor | None = None,
    ) -> Tensor:
        """The output of the attention module."""
        if self._only_while is not None and not self._only_while():
            plain: Tensor = self._original(
                attn, hidden_states, encoder_hidden_states, attention_mask, temb
            )
            return plain
        assert encoder_hidden_states is None
        assert attention_mask is None
        q, k, v = (
            linear(hidden_states).unflatten(-1, (attn.heads, -1))
            for linear in (attn.to_q, attn.to_k, attn.to_v)
        )
        y = fp8_product(q, k, v, self._execution).flatten(2).to(q.dtype)
        projected: Tensor = attn.to_out[1](attn.to_out[0](y)) / attn.rescale_output_factor
        return projected
