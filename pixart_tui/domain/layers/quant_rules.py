"""Rules of the CUDA kernels: shapes that they refuse and devices that lack them."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import NumberFormat, QuantType

SCALED_MM_MULTIPLE: Final = 16
"""``torch._scaled_mm`` takes K and N that are multiples of this."""

INT_MM_MULTIPLE: Final = 8
"""``torch._int_mm`` on CUDA takes K and N that are multiples of this."""

INT_MM_ROWS_ABOVE: Final = 16
"""``torch._int_mm`` on CUDA takes more rows than this."""

FP8_HEAD_CHANNELS: Final = (32, 128)
"""The least and the most channels of a head that our fp8 attention takes, in steps of 8."""

HOPPER: Final = (9, 0)
"""Compute capability that our own attention is written for."""

FP8_CAPABILITY: Final = (8, 9)
INT8_CAPABILITY: Final = (7, 5)
INT4_CAPABILITY: Final = (8, 0)


def exclusion_reason(layer: Layer, quant_type: QuantType) -> str | None:
    """Why the real CUDA kernels could not quantize this layer, None if they can.

    Weight-only fp8 and int8 dequantize before an ordinary product and have no rule.
    """
    return shape_exclusion(layer.in_features, layer.out_features, quant_type) or _rows_exclusion(
        layer.rows, quant_type
    )


def shape_exclusion(in_features: int, out_features: int, quant_type: QuantType) -> str | None:
    """Why the kernels could not quantize a weight of this shape, None if they can.

    Args:
        in_features: K of the matrix product.
        out_features: N of the matrix product.
        quant_type: What the layer would be quantized to.
    """
    sizes = {"K": in_features, "N": out_features}
    if quant_type.activation is None:
        return _group_exclusion(in_features, quant_type.group_size)
    if quant_type.activation is NumberFormat.INT8:
        return _multiple_exclusion(sizes, INT_MM_MULTIPLE, "torch._int_mm")
    return _multiple_exclusion(sizes, SCALED_MM_MULTIPLE, "torch._scaled_mm")


def attention_exclusion(head_channels: int) -> str | None:
    """Why the kernel could not multiply heads of so many channels in fp8, None if it can."""
    least, most = FP8_HEAD_CHANNELS
    if head_channels % 8 == 0 and least <= head_channels <= most:
        return None
    return (
        f"the fp8 attention kernel takes heads of {least} to {most} channels, a multiple of 8: "
        f"these have {head_channels}"
    )


def hardware_limit(quant_type: QuantType, compute_capability: tuple[int, int] | None) -> str | None:
    """Why a device cannot run this quant type for real and what to use instead.

    Args:
        quant_type: What would be run.
        compute_capability: Of the CUDA device; None for a CPU.

    Returns:
        One sentence, or None where nothing is known to stand in the way.
    """
    if quant_type.activation is NumberFormat.E5M2 and quant_type.weight is NumberFormat.E5M2:
        instead = quant_type.name.replace("e5m2_e5m2", "e4m3_e5m2")
        return f"no GPU multiplies two e5m2 matrices; use {instead} or weight-only e5m2"
    needed = _needed_capability(quant_type, on_cpu=compute_capability is None)
    if needed is None or (compute_capability is not None and compute_capability >= needed):
        return None
    found = _device_words(compute_capability)
    return (
        f"{quant_type.name} needs a CUDA GPU of compute capability {needed[0]}.{needed[1]} or "
        f"newer, {found}; use {_instead(compute_capability)}"
    )


def _group_exclusion(in_features: int, group_size: int | None) -> str | None:
    if group_size is None or in_features % group_size == 0:
        return None
    return f"K = {in_features} is not a multiple of the int4 group size {group_size}"


def _multiple_exclusion(sizes: dict[str, int], multiple: int, kernel: str) -> str | None:
    wrong = [f"{name} = {size}" for name, size in sizes.items() if size % multiple or not size]
    return f"{kernel} needs multiples of {multiple}: {', '.join(wrong)}" if wrong else None


def _rows_exclusion(rows: int, quant_type: QuantType) -> str | None:
    if quant_type.activation is not NumberFormat.INT8 or rows > INT_MM_ROWS_ABOVE:
        return None
    return f"torch._int_mm needs more than {INT_MM_ROWS_ABOVE} rows: M = {rows}"


def _needed_capability(quant_type: QuantType, *, on_cpu: bool) -> tuple[int, int] | None:
    """The compute capability of the kernel's instructions, None where none is needed."""
    if quant_type.weight is NumberFormat.INT4:
        return INT4_CAPABILITY
    if quant_type.activation is NumberFormat.INT8:
        return None if on_cpu else INT8_CAPABILITY
    return None if quant_type.weight_only else FP8_CAPABILITY


def _device_words(compute_capability: tuple[int, int] | None) -> str:
    if compute_capability is None:
        return "and this is no CUDA device"
    return "and this one has {}.{}".format(*compute_capability)


def _instead(compute_capability: tuple[int, int] | None) -> str:
    if compute_capability is not None and compute_capability < INT8_CAPABILITY:
        return "int8_weightonly"
    return "int8_dynamic or int8_weightonly"
