"""Attention of many image tokens to a few text tokens.

A prompt has some 20 tokens where an image has 4,096: reading the queries and writing the result is
all the work. For B images, M queries, N tokens and H heads of D channels, 4 B M H D bytes are moved
and 4 B M H D N operations done meanwhile. Scores and sums stay in registers (FlashAttention-2's
online softmax, Dao 2023, arXiv:2307.08691, over tiles of keys).

Heads are split into a power of two and a tail, 64 + 16 for 72 channels, so that tensor cores do not
work on 128 columns for 72.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_ROWS: Final = 64
_LOG2_E: Final = math.log2(math.e)
_LEAST_TAIL: Final = 16


@triton.jit
def _tile(ptr, rows, first, fits, START: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    """Columns START to START + SIZE of a head; those beyond WIDTH are zeros."""
    d = START + tl.arange(0, SIZE)
    inside = fits[:, None] & (d < WIDTH)[None, :]
    return tl.load(ptr + rows[:, None] + first + d[None, :], mask=inside, other=0.0)


@triton.jit
def _store(ptr, rows, first, fits, o, START: tl.constexpr, SIZE: tl.constexpr, WIDTH: tl.constexpr):
    d = START + tl.arange(0, SIZE)
    at = ptr + rows[:, None] + first + d[None, :]
    tl.store(at, o.to(ptr.dtype.element_ty), mask=fits[:, None] & (d < WIDTH)[None, :])


@triton.jit
def text_attention_kernel(
    q_ptr,
    k_ptr,
    v_ptr,
    out_ptr,
    lengths_ptr,
    queries,
    tokens,
    heads,
    factor,
    WIDTH: tl.constexpr,
    HEAD: tl.constexpr,
    TAIL: tl.constexpr,
    ROWS: tl.constexpr,
    KEYS: tl.constexpr,
):
    """Some rows of one head of one image; `factor` holds the scale and log2(e)."""
    image, head = tl.program_id(2).to(tl.int64), tl.program_id(1)
    m = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    fits = m < queries
    rows = (image * queries + m) * (heads * WIDTH)
    first = head * WIDTH
    q = _tile(q_ptr, rows, first, fits, 0, HEAD, WIDTH)
    o = tl.zeros([ROWS, HEAD], tl.float32)
    if TAIL:
        q_tail = _tile(q_ptr, rows, first, fits, HEAD, TAIL, WIDTH)
        o_tail = tl.zeros([ROWS, TAIL], tl.float32)
    largest = tl.full([ROWS], float("-inf"), tl.float32)
    total = tl.zeros([ROWS], tl.float32)
    length = tl.load(lengths_ptr + image)
    for start in range(0, length, KEYS):
        n = start + tl.arange(0, KEYS)
        known = n < length
        keys = (image * tokens + n) * (heads * WIDTH)
        s = tl.dot(q, tl.trans(_tile(k_ptr, keys, first, known, 0, HEAD, WIDTH)))
        if TAIL:
            s = tl.dot(q_tail, tl.trans(_tile(k_ptr, keys, first, known, HEAD, TAIL, WIDTH)), s)
        s = tl.where(known[None, :], s * factor, float("-inf"))
        larger = tl.maximum(largest, tl.max(s, 1))
        shrink = tl.exp2(largest - larger)
        p = tl.exp2(s - larger[:, None])
        total = total * shrink + tl.sum(p, 1)
        p = p.to(q.dtype)
        o = tl.dot(p, _tile(v_ptr, keys, first, known, 0, HEAD, WIDTH), o * shrink[:, None])
        if TAIL:
            value = _tile(v_ptr, keys, first, known, HEAD, TAIL, WIDTH)
            o_tail = tl.dot(p, value, o_tail * shrink[:, None])
        largest = larger
    inverse = 1.0 / total
    _store(out_ptr, rows, first, fits, o * inverse[:, None], 0, HEAD, WIDTH)
    if TAIL:
        _store(out_ptr, rows, first, fits, o_tail * inverse[:, None], HEAD, TAIL, WIDTH)


def text_attention(q: Tensor, k: Tensor, v: Tensor, lengths: Tensor, *, scale: float) -> Tensor:
    """``softmax(scale q k^T) v`` over each image's first tokens.

    Args:
        q: (B, M, H, D), contiguous, D a multiple of 8.
        k: (B T, H, D), contiguous.
        v: Likewise.
        lengths: (B,) int32: tokens of each image that are no padding, 1 at least.
        scale: What scores are multiplied by.

    Returns:
        (B, M, H, D), contiguous.
    """
    batch, queries, heads, width = q.shape
    assert q.is_contiguous()
    assert k.is_contiguous()
    tokens = k.shape[0] // batch
    head = 1 << (width.bit_length() - 1)
    rest = width - head
    out = torch.empty_like(q)
    text_attention_kernel[(triton.cdiv(queries, _ROWS), heads, batch)](
        q, k, v, out, lengths, queries, tokens, heads, scale * _LOG2_E,
        WIDTH=width,
        HEAD=head,
        TAIL=max(_LEAST_TAIL, triton.next_power_of_2(rest)) if rest else 0,
        ROWS=_ROWS,
        KEYS=32 if tokens <= 128 else 64,
        num_warps=4,
    )  # fmt: skip
    return out
