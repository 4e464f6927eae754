"""Softmax of float32 rows, rounded once to the dtype that the next matrix product takes.

For rows of N values: reads 4 N bytes, writes 2 N in bfloat16; a row is held in registers.
"""

from __future__ import annotations

import math
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_LOG2_E: Final = math.log2(math.e)


@triton.jit
def softmax_kernel(scores_ptr, out_ptr, columns, scale, BLOCK: tl.constexpr):
    """One row; the scale holds log2(e), as powers of two are what the hardware has."""
    row = tl.program_id(0).to(tl.int64) * columns
    column = tl.arange(0, BLOCK)
    fits = column < columns
    scores = tl.load(scores_ptr + row + column, mask=fits, other=float("-inf")) * scale
    powers = tl.exp2(scores - tl.max(scores, 0))
    share = powers / tl.sum(powers, 0)
    tl.store(out_ptr + row + column, share.to(out_ptr.dtype.element_ty), mask=fits)


def scaled_softmax(scores: Tensor, scale: float, dtype: torch.dtype) -> Tensor:
    """``softmax(scale * scores)`` over the columns of a contiguous float32 matrix, scale > 0."""
    rows, columns = scores.shape
    out = torch.empty(rows, columns, device=scores.device, dtype=dtype)
    block = triton.next_power_of_2(columns)
    softmax_kernel[(rows,)](
        scores,
        out,
        columns,
        scale * _LOG2_E,
        BLOCK=block,
        num_warps=min(32, max(4, block // 1024)),
    )
    return out
