"""Reference numerics of every quant type, on any device and in any floating-point dtype.

They follow torchao, so that a simulated layer and a real one differ by accumulation only:

- fp8 (``_choose_scale_float8``, ``_quantize_affine_float8``): scale = amax / largest, divided in
  the tensor's dtype and kept as float32; value = clamp(x / scale), rounded to nearest even.
  torchao turns an all-zero row into 0 / 0; here the scale has a floor, so it stays zero.
- int8 (``Int8Tensor.from_hp``): scale = max(amax / 127.5, float32 epsilon), divided in the
  tensor's dtype; value = round(x * (1 / scale)) to nearest even, clamped to [-128, 127]. This
  is torchao 0.18; in half precision 0.17 also rounds 1 / scale and the products.
- int4: see ``int4``.

A NaN or an infinity makes everything that shares its scale NaN, as it does on the GPU: the
token or channel, the group, or the whole tensor. Nothing is clipped away silently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat
from pixart_tui.engine.formats import (
    FP8_FORMATS,
    INT8_RANGE,
    round_to_fp8_,
    round_to_int8_,
    saturating_cast,
)
from pixart_tui.engine.quant.int4 import dequantize_groups, quantize_groups

SMALLEST_AMAX: Final = 1e-12
"""Floor of the largest magnitude behind an fp8 scale (``torchao.float8``'s ``EPS``)."""

_INT8_HALF_SPAN: Final = (INT8_RANGE[1] - INT8_RANGE[0]) / 2
_INT8_SMALLEST_SCALE: Final = torch.finfo(torch.float32).eps


@dataclass(frozen=True, slots=True)
class Quantized:
    """A quantized tensor.

    Attributes:
        values: The codes, of the tensor's shape: an fp8 dtype, or int8 for int8 and int4.
        scale: What one step is worth: float32 and broadcastable for fp8 and int8; for int4
            (N, groups, 1) in the weight's dtype.
        dtype: Of the tensor that was quantized.
        zero_point: Only for int4: the value of code 8.
    """

    values: Tensor
    scale: Tensor
    dtype: torch.dtype
    zero_point: Tensor | None = None


def quantize(
    tensor: Tensor,
    number_format: NumberFormat,
    granularity: Granularity,
    group_size: int | None = None,
) -> Quantized:
    """Quantizes a tensor.

    Args:
        tensor: Activation (..., K) or weight (N, K), floating point.
        number_format: What to quantize to.
        granularity: Per axis: one scale per row of K values.
        group_size: Only with ``PER_GROUP``.

    Raises:
        RequestError: K is not a multiple of ``group_size``.
        ValueError: The format and the granularity do not go together.
    """
    if granularity is Granularity.PER_GROUP:
        return _quantize_int4(tensor, number_format, group_size)
    scale = scale_of(tensor, number_format, reduced_dims(tensor, granularity))
    scaled = _divided(tensor, scale, number_format)
    if number_format.is_fp8:
        return Quantized(saturating_cast(scaled, number_format), scale, tensor.dtype)
    codes = round_to_int8_(scaled).nan_to_num_(0.0).to(torch.int8)
    return Quantized(codes, scale, tensor.dtype)


def dequantize(quantized: Quantized) -> Tensor:
    """The tensor that the codes stand for, in the dtype of the original."""
    if quantized.zero_point is not None:
        return dequantize_groups(quantized.values, quantized.scale, quantized.zero_point)
    return (quantized.values.to(torch.float32) * quantized.scale).to(quantized.dtype)


@torch.no_grad()
def round_trip(
    tensor: Tensor, number_format: NumberFormat, dims: tuple[int, ...] | None = None
) -> Tensor:
    """``dequantize(quantize(tensor))`` of fp8 or int8 in few passes, for the hot loop.

    Args:
        tensor: Floating-point tensor of any shape; no gradient flows through.
        number_format: E4M3, E5M2 or INT8.
        dims: Dimensions that share a scale; None for the last one.

    Returns:
        A new tensor of the same shape and dtype.
    """
    scale = scale_of(tensor, number_format, (-1,) if dims is None else dims)
    values = _divided(tensor, scale, number_format)
    rounded = (
        round_to_fp8_(values, number_format) if number_format.is_fp8 else round_to_int8_(values)
    )
    return rounded.mul_(scale).to(tensor.dtype)


def scale_of(tensor: Tensor, number_format: NumberFormat, dims: tuple[int, ...]) -> Tensor:
    """The scale of fp8 or int8, float32, with the reduced dimensions kept as 1.

    Args:
        tensor: Floating-point tensor.
        number_format: E4M3, E5M2 or INT8.
        dims: Dimensions that share a scale.
    """
    largest = tensor.abs().amax(dims, keepdim=True)
    if number_format.is_fp8:
        fp8 = FP8_FORMATS[number_format]
        return (largest / fp8.largest).to(torch.float32).clamp_min_(SMALLEST_AMAX / fp8.largest)
    if number_format is not NumberFormat.INT8:
        raise ValueError(f"{number_format} has no scale of this kind")
    return (largest / _INT8_HALF_SPAN).clamp_min_(_INT8_SMALLEST_SCALE).to(torch.float32)


def reduced_dims(tensor: Tensor, granularity: Granularity) -> tuple[int, ...]:
    """The dimensions that share a scale, for per axis and per tensor."""
    return (-1,) if granularity is Granularity.PER_AXIS else tuple(range(tensor.dim()))


def _divided(tensor: Tensor, scale: Tensor, number_format: NumberFormat) -> Tensor:
    """A new float32 tensor; torchao divides for fp8 and multiplies by the inverse for int8."""
    values = tensor.to(torch.float32)
    return values / scale if number_format.is_fp8 else values * (1.0 / scale)


def _quantize_int4(
    weight: Tensor, number_format: NumberFormat, group_size: int | None
) -> Quantized:
    if number_format is not NumberFormat.INT4 or group_size is None:
        raise ValueError(f"per group is for int4 with a group size, not {number_format}")
    codes, scale, zero_point = quantize_groups(weight, group_size)
    return Quantized(codes, scale, weight.dtype, zero_point)
