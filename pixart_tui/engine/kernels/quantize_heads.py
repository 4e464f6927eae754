"""Queries, keys and values of a fused projection rounded to e4m3, laid out for fp8 attention.

One pass: 6 D bytes of each head and token are read, 3 D written and some padding. Queries and keys
are taken in the order of memory, 16 codes at a time, values turned four keys at a time. There are
no scales: e4m3 keeps its three bits of mantissa from 2^-6 to 448, and what attention reads lies
well within; values beyond are saturated at 448, and NaN stays NaN.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from pixart_tui.engine.kernels.flash_attention import flash_attention_fp8

_CHUNKS: Final = 256
"""Chunks of 16 codes, of queries or keys, that a program writes."""

_QUADS: Final = 32
"""Groups of four keys whose values a program turns."""


@triton.jit
def _four_e4m3(a, b, c, d):
    """Four values rounded, `a` in the lowest byte."""
    return tl.inline_asm_elementwise(
        """{
        .reg .b16 low, high;
        cvt.rn.satfinite.e4m3x2.f32 low, $2, $1;
        cvt.rn.satfinite.e4m3x2.f32 high, $4, $3;
        mov.b32 $0, {low, high};
        }""",
        "=r,f,f,f,f",
        [a.to(tl.float32), b.to(tl.float32), c.to(tl.float32), d.to(tl.float32)],
        dtype=tl.int32,
        is_pure=True,
        pack=1,
    )


@triton.jit
def _chunks(
    x_ptr,
    codes_ptr,
    first,
    count,
    stride_b,
    stride_s,
    tokens,
    stride_h: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROW: tl.constexpr,
    CHUNKS: tl.constexpr,
):
    """Chunks of 16 codes of rows that follow each other; padding is written too: whole sectors."""
    PARTS: tl.constexpr = ROW // 16
    chunk = first + tl.arange(0, CHUNKS)
    token = chunk // (HEADS * PARTS)
    head = chunk // PARTS % HEADS
    start = chunk % PARTS * 16
    image = token // tokens
    d = start[:, None] + tl.arange(0, 16)[None, :]
    at = image.to(tl.int64) * stride_b + (token - image * tokens).to(tl.int64) * stride_s
    at = (at + head * stride_h)[:, None] + d
    exists = (chunk < count)[:, None]
    x = tl.load(x_ptr + at, mask=exists & (d < WIDTH), other=0.0)
    to = chunk.to(tl.int64)[:, None] * 16 + tl.arange(0, 16)[None, :]
    tl.store(codes_ptr + to, x.to(codes_ptr.dtype.element_ty), mask=exists)


@triton.jit
def _quads(
    v_ptr,
    words_ptr,
    tile,
    stride_b,
    stride_s,
    tokens,
    groups,
    stride_h: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    START: tl.constexpr,
    COLUMNS: tl.constexpr,
    QUADS: tl.constexpr,
):
    """Channels START to START + COLUMNS of a tile of values, turned as words of four keys.

    Every 16 keys in the order 0 1 8 9, 2 3 10 11, ...: see `permute_keys`.
    """
    tiles = tl.cdiv(groups * 4, QUADS)
    image = (tile // tiles // HEADS).to(tl.int64)
    head = tile // tiles % HEADS
    quad = tile % tiles * QUADS + tl.arange(0, QUADS)
    d = START + tl.arange(0, COLUMNS)
    n = ((quad // 4) * 16 + quad % 4 * 2)[:, None]
    at = v_ptr + image * stride_b + head * stride_h + n.to(tl.int64) * stride_s + d[None, :]
    here = (d < WIDTH)[None, :]
    a = tl.load(at, mask=here & (n < tokens), other=0.0)
    b = tl.load(at + stride_s, mask=here & (n + 1 < tokens), other=0.0)
    c = tl.load(at + 8 * stride_s, mask=here & (n + 8 < tokens), other=0.0)
    e = tl.load(at + 9 * stride_s, mask=here & (n + 9 < tokens), other=0.0)
    words = _four_e4m3(a, b, c, e)
    to = ((image * HEADS + head) * WIDTH + d[:, None]) * (groups * 4) + quad[None, :]
    inside = (d < WIDTH)[:, None] & (quad < groups * 4)[None, :]
    tl.store(words_ptr + to, tl.trans(words), mask=inside)


# A single token as a constant was seen miscompiled: loads that its mask rules out were done.
@triton.jit(do_not_specialize=["tokens", "groups", "count"])
def _quantize(
    q_ptr,
    k_ptr,
    v_ptr,
    q8_ptr,
    k8_ptr,
    words_ptr,
    stride_b,
    stride_s,
    tokens,
    groups,
    count,
    stride_h: tl.constexpr,
    HEADS: tl.constexpr,
    WIDTH: tl.constexpr,
    ROW: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    CHUNKS: tl.constexpr,
    QUADS: tl.constexpr,
):
    """Programs of queries and keys, which go through memory in order, then those of values."""
    flat = tl.cdiv(count, CHUNKS)
    if tl.program_id(0) < flat:
        first = tl.program_id(0) * CHUNKS
        _chunks(
            q_ptr, q8_ptr, first, count, stride_b, stride_s, tokens, stride_h,
            HEADS, WIDTH, ROW, CHUNKS,
        )  # fmt: skip
        _chunks(
            k_ptr, k8_ptr, first, count, stride_b, stride_s, tokens, stride_h,
            HEADS, WIDTH, ROW, CHUNKS,
        )  # fmt: skip
    else:
        tile = tl.program_id(0) - flat
        _quads(
            v_ptr, words_ptr, tile, stride_b, stride_s, tokens, groups, stride_h,
            HEADS, WIDTH, 0, HEAD, QUADS,
        )  # fmt: skip
        if TAIL:
            _quads(
                v_ptr, words_ptr, tile, stride_b, stride_s, tokens, groups, stride_h,
                HEADS, WIDTH, HEAD, TAIL, QUADS,
            )  # fmt: skip


def quantize_heads(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Makes the inputs of `flash_attention_fp8`.

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
    row, groups = -(-width // 16) * 16, -(-tokens // 16)
    fp8, device = torch.float8_e4m3fn, q.device
    q8, k8 = (torch.empty(batch, tokens, heads, row, dtype=fp8, device=device) for _ in range(2))
    v8 = torch.empty(batch, heads, width, groups * 16, dtype=fp8, device=device)
    count = batch * tokens * heads * row // 16
    head = 1 << (width.bit_length() - 1)
    tiles = batch * heads * triton.cdiv(groups * 4, _QUADS)
    _quantize[(triton.cdiv(count, _CHUNKS) + tiles,)](
        q, k, v, q8, k8, v8.view(torch.int32), *q.stride()[:2], tokens, groups, count,
        stride_h=q.stride(2),
        HEADS=heads,
        WIDTH=width,
        ROW=row,
        HEAD=head,
        TAIL=triton.next_power_of_2(width - head) if width > head else 0,
        CHUNKS=_CHUNKS,
        QUADS=_QUADS,
        num_warps=4,
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
