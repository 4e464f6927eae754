"""bfloat16 activations times int8 weights that are unpacked in registers.

Unpacking a weight for cuBLAS reads N K bytes and moves 4 N K more. Here N K bytes of weight are
read once for each 128 tokens, for 2 M N K operations. The weight is the left
operand: Hopper's products take that one from registers, where it is unpacked, and the right one
not.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor
from triton.tools.tensor_descriptor import TensorDescriptor

_BLOCK_M: Final = 128
_BLOCK_N: Final = 64
_BLOCK_K: Final = 128


@triton.jit
def _matmul(
    x_desc,
    codes_desc,
    scale_ptr,
    out_ptr,
    M,
    N,
    K,
    BLOCK_M: tl.constexpr,
    BLOCK_N: tl.constexpr,
    BLOCK_K: tl.constexpr,
):
    """One tile of the transposed product."""
    n, m = tl.program_id(0) * BLOCK_N, tl.program_id(1) * BLOCK_M
    acc = tl.zeros([BLOCK_N, BLOCK_M], tl.float32)
    for k in range(0, K, BLOCK_K):
        codes = codes_desc.load([n, k])
        x = x_desc.load([m, k])
        acc = tl.dot(codes.to(tl.bfloat16), tl.trans(x), acc)
    features, tokens = n + tl.arange(0, BLOCK_N), m + tl.arange(0, BLOCK_M)
    scale = tl.load(scale_ptr + features, mask=features < N, other=0.0).to(tl.float32)
    y = tl.trans((acc * scale[:, None]).to(out_ptr.dtype.element_ty))
    at = tokens.to(tl.int64)[:, None] * N + features[None, :]
    tl.store(out_ptr + at, y, mask=(tokens[:, None] < M) & (features[None, :] < N))


def int8_weight_matmul(x: Tensor, codes: Tensor, scale: Tensor) -> Tensor:
    """``(x @ codes.T) * scale``.

    Args:
        x: (M, K) bfloat16, contiguous; K a multiple of 16.
        codes: (N, K) int8, contiguous.
        scale: (N, 1), contiguous.

    Returns:
        (M, N) bfloat16.
    """
    m, k = x.shape
    n = codes.shape[0]
    out = torch.empty(m, n, dtype=x.dtype, device=x.device)
    _matmul[triton.cdiv(n, _BLOCK_N), triton.cdiv(m, _BLOCK_M)](
        TensorDescriptor.from_tensor(x, [_BLOCK_M, _BLOCK_K]),
        TensorDescriptor.from_tensor(codes, [_BLOCK_N, _BLOCK_K]),
        scale,
        out,
        m,
        n,
        k,
        BLOCK_M=_BLOCK_M,
        BLOCK_N=_BLOCK_N,
        BLOCK_K=_BLOCK_K,
        num_warps=4,
        num_stages=3,
    )
    return out
