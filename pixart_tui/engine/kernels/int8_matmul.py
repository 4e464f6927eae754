"""int8 times int8 with the scales in the epilogue.

``torch._int_mm`` writes its sums as int32, four bytes each, for another kernel to scale. Here the
sums never leave the registers: M K + N K bytes are read and 2 M N are written for 2 M N K
operations.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

_BLOCK_M: Final = 128
_BLOCK_N: Final = 256
_BLOCK_K: Final = 128
_GROUP_M: Final = 8


@triton.jit
def _matmul(
    a_desc,
    b_desc,
    a_scale_ptr,
    b_scale_ptr,
    bias_ptr,
    out_ptr,
    M,
    N,
    K,
    BIAS: tl.constexpr,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
    GROUP_M: tl.constexpr,
):
    """One tile of the product; tiles that share rows of ``a`` run side by side."""
    tile = tl.program_id(0)
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    group = tile // (GROUP_M * tiles_n)
    first_m = group * GROUP_M
    size_m = min(tiles_m - first_m, GROUP_M)
    m = (first_m + (tile % (GROUP_M * tiles_n)) % size_m) * BLOCK_M
    n = ((tile % (GROUP_M * tiles_n)) // size_m) * BLOCK_N
    acc = tl.zeros([BLOCK_M, BLOCK_N], tl.int32)
    for k in range(0, K, BLOCK_K):
        a = a_desc.load([m, k])
        b = b_desc.load([n, k])
        acc = tl.dot(a, tl.trans(b), acc, out_dtype=tl.int32)
    rows, columns = m + tl.arange(0, BLOCK_M), n + tl.arange(0, BLOCK_N)
    a_scale = tl.load(a_scale_ptr + rows, mask=rows < M, other=0.0)
    b_scale = tl.load(b_scale_ptr + columns, mask=columns < N, other=0.0)
    y = acc.to(tl.float32) * a_scale[:, None] * b_scale[None, :]
    if BIAS:
        y += tl.load(bias_ptr + columns, mask=columns < N, other=0.0).to(tl.float32)[None, :]
    at = rows.to(tl.int64)[:, None] * N + columns[None, :]
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    tl.store(out_ptr + at, y.to(out_ptr.dtype.element_ty), mask=inside)


def int8_matmul(
    a: Tensor, b: Tensor, a_scale: Tensor, b_scale: Tensor, bias: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """``(a @ b.T) * a_scale * b_scale + bias``.

    Args:
        a: (M, K) int8, contiguous; K a multiple of 16.
        b: (N, K) int8, contiguous.
        a_scale: (M, 1) float32.
        b_scale: (N, 1) float32.
        bias: (N,) or None.
        dtype: Of the result.

    Returns:
        (M, N).
    """
    m, k = a.shape
    n = b.shape[0]
    out = torch.empty(m, n, dtype=dtype, device=a.device)
    grid = (triton.cdiv(m, _BLOCK_M) * triton.cdiv(n, _BLOCK_N),)
    _matmul[grid](
        TensorDescriptor.from_tensor(a, [_BLOCK_M, _BLOCK_K]),
        TensorDescriptor.from_tensor(b, [_BLOCK_N, _BLOCK_K]),
        a_scale,
        b_scale,
        out if bias is None else bias,
        out,
        m,
        n,
        k,
        BIAS=bias is not None,
        BLOCK_M=_BLOCK_M,
        BLOCK_N=_BLOCK_N,
        BLOCK_K=_BLOCK_K,
        GROUP_M=_GROUP_M,
        num_warps=8,
        num_stages=3,
    )
    return out
