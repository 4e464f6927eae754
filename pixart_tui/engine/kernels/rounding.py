"""Computes the rounding error of quantizing a row's values, in one pass over the row.

Codes and scales are those of ``engine.quant.reference``, and what a code stands for is rounded to
the tensor's dtype as there; the difference is formed in float32. Bytes: a row is read once and its
error written once. The largest value of a row lies on a tie of int8 (127.5), so that the last bit
of ``x / scale`` decides: no multiplication may be fused with the addition that rounds it.
"""

from __future__ import annotations

from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

from pixart_tui.domain.layers.quant_types import NumberFormat
from pixart_tui.engine.formats import FP8_FORMATS
from pixart_tui.engine.kernels.rows import _divide, _fp8_scale, _int8_codes, _int8_scale

_CODES: Final = {
    NumberFormat.E4M3: tl.float8e4nv,
    NumberFormat.E5M2: tl.float8e5,
    NumberFormat.INT8: tl.int8,
}


def rounding_error(x: Tensor, number_format: NumberFormat, scales: Tensor | None = None) -> Tensor:
    """``round_trip(x) - x`` of fp8 or int8.

    Args:
        x: (..., channels), on a CUDA device.
        number_format: E4M3, E5M2 or INT8.
        scales: Of each row, float32, in the order of the rows; None for one scale a row, from its
            largest value.

    Returns:
        Shaped like ``x``, in its dtype.
    """
    rows = x.contiguous().view(-1, x.shape[-1])
    errors = torch.empty_like(rows)
    fp8 = FP8_FORMATS.get(number_format)
    with torch.cuda.device(x.device):
        _error_kernel[(rows.shape[0],)](
            rows,
            rows if scales is None else scales.contiguous(),
            errors,
            rows.shape[1],
            LARGEST=fp8.largest if fp8 is not None else 0.0,
            CODES=_CODES[number_format],
            INT8=number_format is NumberFormat.INT8,
            GIVEN=scales is not None,
            BLOCK=triton.next_power_of_2(rows.shape[1]),
            num_warps=8 if rows.shape[1] > 2048 else 4,
            enable_fp_fusion=number_format is not NumberFormat.INT8,
        )
    return errors.view(x.shape)


@triton.jit
def _error_kernel(
    x_ptr,
    scale_ptr,
    error_ptr,
    width,
    LARGEST: tl.constexpr,
    CODES: tl.constexpr,
    INT8: tl.constexpr,
    GIVEN: tl.constexpr,
    BLOCK: tl.constexpr,
):
    dtype = x_ptr.dtype.element_ty
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    fits = columns < width
    x = tl.load(x_ptr + row * width + columns, mask=fits, other=0.0).to(tl.float32)
    if GIVEN:
        scale = tl.load(scale_ptr + row)
    elif INT8:
        scale = _int8_scale(tl.max(tl.abs(x)), dtype)
    else:
        scale = _fp8_scale(tl.max(tl.abs(x)), LARGEST, dtype)
    if INT8:
        codes = _int8_codes(x, _divide(1.0, scale)).to(tl.float32)
    else:
        codes = tl.clamp(_divide(x, scale), -LARGEST, LARGEST).to(CODES).to(tl.float32)
    rounded = (codes * scale).to(dtype).to(tl.float32)
    tl.store(error_ptr + row * width + columns, (rounded - x).to(dtype), mask=fits)
