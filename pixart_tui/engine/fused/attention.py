"""Self-attention and attention to the text of the fused transformer, by what suits the GPU."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.layers.quant_rules import HOPPER, attention_exclusion

SelfAttention: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(B, S, H, D) queries, keys and values, any strides -> (B, S, H, D), contiguous."""


def attention_by_block(
    device: torch.device, head_dim: int, blocks: int, fp8: bool | Collection[str]
) -> list[SelfAttention]:
    """The self-attention of each block.

    Args:
        device: A CUDA device.
        head_dim: Channels of a head.
        blocks: How many blocks there are.
        fp8: Whether to multiply in fp8: in all blocks, in none, or in those whose attention module
            is named (``transformer_blocks.3.attn1``).

    Raises:
        RequestError: fp8 where there is no kernel for it, or a name that no block has.
    """
    names = [f"transformer_blocks.{index}.attn1" for index in range(blocks)]
    wanted = set(names if fp8 else ()) if isinstance(fp8, bool) else set(fp8)
    unknown = sorted(wanted.difference(names))
    if unknown:
        raise RequestError(
            f"there is no attention {unknown[0]!r}",
            cause=f"the model has {blocks} blocks, {names[0]} to {names[-1]}",
            next_step="profile this model, or name the file that was measured on it",
        )
    chosen = {kind: choose_attention(device, head_dim, fp8=kind) for kind in {False, bool(wanted)}}
    return [chosen[name in wanted] for name in names]


def choose_attention(device: torch.device, head_dim: int, *, fp8: bool) -> SelfAttention:
    """The fastest self-attention that the device has.

    Args:
        device: A CUDA device.
        head_dim: Channels of a head.
        fp8: Whether to multiply in fp8.

    Raises:
        RequestError: fp8 where there is no kernel for it.
    """
    capability = torch.cuda.get_device_capability(device)
    if fp8:
        if capability != HOPPER or attention_exclusion(head_dim) is not None:
            raise _no_fp8(capability, head_dim)
        return _hopper_fp8_attention
    ours = capability == HOPPER and head_dim % 8 == 0 and 16 <= head_dim <= 128
    return _hopper_attention if ours else stock_attention


def stock_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Torch's own, with the backend that it prefers on this device."""
    out = functional.scaled_dot_product_attention(
        q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    )
    return out.transpose(1, 2).contiguous()


@dataclass(frozen=True, slots=True)
class TextLengths:
    """How much of each image's text is no padding.

    Attributes:
        lengths: (B,) int32, on the device.
        starts: (B + 1,) int32: where each image's text begins in (B T) rows.
        tokens: T.
    """

    lengths: Tensor
    starts: Tensor
    tokens: int


def text_lengths(mask: Tensor) -> TextLengths:
    """The lengths behind a (B, T) mask, 1 for a token and 0 for padding; waits for the device.

    Raises:
        WorkError: A text is empty, or has padding before a token.
    """
    kept = mask.bool()
    if not bool((kept[:, :-1] >= kept[:, 1:]).all() & kept[:, 0].all()):
        raise WorkError(
            "this attention mask is not that of a text",
            cause="the fused kernels want at least one token, and all padding behind the last",
            next_step="use another --compiler",
        )
    batch, tokens = mask.shape
    lengths = kept.sum(1, dtype=torch.int32)
    return TextLengths(lengths, _starts(batch, tokens, mask.device), tokens)


def attend_to_text(q: Tensor, k: Tensor, v: Tensor, text: TextLengths) -> Tensor:
    """Attention of image tokens to text tokens, without the padding.

    The stock transformer adds -10000 to the scores of padding, whose weights are then zero: this
    leaves them out. Our own kernel, or for heads that it does not take FlashAttention-2 with
    variable lengths (Dao 2023, arXiv:2307.08691), as torch ships it, which takes no additive mask.

    Args:
        q: (B, S, H, D), the last dimension contiguous, images one after the other.
        k: (B T, H, D).
        v: (B T, H, D).
        text: How much of the keys is no padding.

    Returns:
        (B, S, H, D), contiguous.
    """
    batch, queries, _, width = q.shape
    if width % 8 == 0 and width >= 16:
        from pixart_tui.engine.kernels.text_attention import text_attention

        return text_attention(q, k, v, text.lengths, scale=1 / math.sqrt(width))
    out: Tensor = torch.ops.aten._flash_attention_forward(
        q.flatten(0, 1), k, v, _starts(batch, queries, q.device), text.starts, queries, text.tokens,
        0.0, False, False, seqused_k=text.lengths,
    )[0]  # fmt: skip
    return out.view(q.shape)


@lru_cache
def _starts(batch: int, tokens: int, device: torch.device) -> Tensor:
    """Kept, so that a captured graph finds them where they were."""
    return torch.arange(0, (batch + 1) * tokens, tokens, dtype=torch.int32, device=device)


def _hopper_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from pixart_tui.engine.kernels.flash_attention import flash_attention

    return flash_attention(q, k, v, scale=1 / math.sqrt(q.shape[-1]))


def _hopper_fp8_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    from pixart_tui.engine.kernels.quantize_heads import fp8_attention

    return fp8_attention(q, k, v, scale=1 / math.sqrt(q.shape[-1]))


def _no_fp8(capability: tuple[int, int], head_dim: int) -> RequestError:
    return RequestError(
        "this GPU has no kernel for fp8 attention",
        cause=f"it is for compute capability 9.0 and heads of 32 to 128 channels, a multiple of 8; "
        f"here {capability[0]}.{capability[1]} and {head_dim}",
        next_step="leave --fp8-attention out",
    )
