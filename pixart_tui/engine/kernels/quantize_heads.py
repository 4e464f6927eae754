"""Queries, keys and values of a fused projection rounded to e4m3, laid out for fp8 attention.

One pass: 6 D bytes of each head and token are read, 3 D written. There are no scales: e4m3 keeps
its three bits of mantissa from 2^-6 to 448, and what attention reads lies well within; values
beyond are saturated at 448, and NaN stays NaN.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from pixart_tui.engine.kernels.flash_attention import flash_attention_fp8

_TOKENS: Final = 128


@triton.jit
def _quantize(
    q_ptr,
    k_ptr,
    v_ptr,
    q8_ptr,
    k8_ptr,
    v8_ptr,
    stride_b,
    stride_s,
    tokens,
    keys_padded,
    heads,
    stride_h: tl.constexpr,  # known, so that loads of 16 bytes are: it is no multiple of 16
    WIDTH: tl.constexpr,
    PADDED: tl.constexpr,
    ROW: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One tile of tokens of one head of one image."""
    image = (tl.program_id(1) // heads).to(tl.int64)
    head = (tl.program_id(1) % heads).to(tl.int64)
    first = tl.program_id(0) * BLOCK
    n = first + tl.arange(0, BLOCK)
    d = tl.arange(0, PADDED)
    base = image * stride_b + head * stride_h
    fits = (n[:, None] < tokens) & (d[None, :] < WIDTH)
    at = base + n[:, None] * stride_s + d[None, :]
    row = ((image * tokens + n[:, None]) * heads + head) * ROW + d[None, :]
    dtype = q8_ptr.dtype.element_ty
    tl.store(q8_ptr + row, tl.load(q_ptr + at, mask=fits, other=0.0).to(dtype), mask=fits)
    tl.store(k8_ptr + row, tl.load(k_ptr + at, mask=fits, other=0.0).to(dtype), mask=fits)
    # Every 16 keys in the order 0 1 8 9, 2 3 10 11, ...: see `permute_keys`.
    p = tl.arange(0, BLOCK)
    m = first + (p // 16) * 16 + ((p % 4) // 2) * 8 + ((p % 16) // 4) * 2 + p % 2
    known = (m[:, None] < tokens) & (d[None, :] < WIDTH)
    v = tl.load(v_ptr + base + m[:, None] * stride_s + d[None, :], mask=known, other=0.0)
    column = ((image * heads + head) * WIDTH + d[:, None]) * keys_padded + n[None, :]
    inside = (d[:, None] < WIDTH) & (n[None, :] < keys_padded)
    tl.store(v8_ptr + column, tl.trans(v.to(dtype)), mask=inside)


def quantize_heads(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """What `flash_attention_fp8` reads.

    Args:
        q: (B, S, H, D), the last dimension contiguous; ``k`` and ``v`` have the same strides.
        k: Likewise.
        v: Likewise.

    Returns:
        Queries and keys (B, S, H, D) e4m3, rows padded to 16 bytes, and the values as
        `permute_keys` gives them.
    """
    assert q.stride() == k.stride() == v.stride()
    batch, tokens, heads, width = q.shape
    row, keys_padded = -(-width // 16) * 16, -(-tokens // 16) * 16
    fp8, device = torch.float8_e4m3fn, q.device
    q8, k8 = (torch.empty(batch, tokens, heads, row, dtype=fp8, device=device) for _ in range(2))
    v8 = torch.empty(batch, heads, width, keys_padded, dtype=fp8, device=device)
    _quantize[(triton.cdiv(keys_padded, _TOKENS), batch * heads)](
        q, k, v, q8, k8, v8, *q.stride()[:2], tokens, keys_padded, heads,
        stride_h=q.stride(2),
        WIDTH=width,
        PADDED=triton.next_power_of_2(width),
        ROW=row,
        BLOCK=_TOKENS,
        num_warps=8,
    )  # fmt: skip
    return q8[..., :width], k8[..., :width], v8


def fp8_attention(q: Tensor, k: Tensor, v: Tensor, *, scale: float) -> Tensor:
    """Softmax(scale q k^T) v with both products in fp8.

    Args:
        q: (B, S, H, D) bfloat16 views of one projection.
        k: Likewise.
        v: Likewise.
        scale: What scores are multiplied by.

    Returns:
        (B, S, H, D) bfloat16, contiguous.
    """
    return flash_attention_fp8(*quantize_heads(q, k, v), scale=scale)
