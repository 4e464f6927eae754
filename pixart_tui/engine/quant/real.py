"""The real kernels: torchao's tensors in place of a linear's weight."""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor, nn

import pixart_tui.engine.quant.notices  # noqa: F401
from pixart_tui.domain.errors import RequestError, WorkError, first_line
from pixart_tui.domain.layers.quant_rules import shape_exclusion
from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat, QuantType
from pixart_tui.engine.formats import FP8_FORMATS
from pixart_tui.engine.quant.reference import SMALLEST_AMAX, quantize

_TORCHAO_ERRORS: Final = (AssertionError, ImportError, RuntimeError, TypeError, ValueError)
_INT4_FACTOR: Final = 2.0**12


def quantize_weight(linear: nn.Linear, quant_type: QuantType) -> None:
    """Replaces the weight by torchao's quantized tensor, in place.

    Args:
        linear: On the device that will run it.
        quant_type: What to quantize to.

    Raises:
        RequestError: The kernel cannot take this shape or dtype.
        WorkError: torchao failed or skipped the layer; the layer is as it was.
    """
    _check_request(linear, quant_type)
    original = linear.get_parameter("weight")
    try:
        _replace_weight(linear, quant_type)
    except _TORCHAO_ERRORS as error:
        restore_weight(linear, original)
        raise _failed(quant_type, f"{type(error).__name__}: {first_line(error)}") from error
    if not is_quantized(linear):
        restore_weight(linear, original)
        raise _failed(quant_type, f"torchao skipped a weight of shape {tuple(linear.weight.shape)}")


def is_quantized(linear: nn.Linear) -> bool:
    """Whether a tensor subclass such as torchao's stands in place of the plain weight."""
    return type(linear.weight) is not nn.Parameter


def restore_weight(linear: nn.Linear, weight: nn.Parameter) -> None:
    """Undoes ``quantize_weight``."""
    linear.weight = weight
    linear.__dict__.pop("extra_repr", None)


def config_name(quant_type: QuantType) -> str:
    """Returns the name of the kernel, for reports."""
    if _is_per_tensor_weight_only(quant_type):
        return "Float8Tensor"
    return type(torchao_config(quant_type)).__name__


def _replace_weight(linear: nn.Linear, quant_type: QuantType) -> None:
    from torchao.quantization import quantize_

    if _is_per_tensor_weight_only(quant_type):
        linear.weight = nn.Parameter(_per_tensor_weight(linear, quant_type), requires_grad=False)
    elif quant_type.weight is NumberFormat.INT4:
        _replace_int4_weight(linear, quant_type)
    else:
        original = linear.weight.detach()
        quantize_(linear, torchao_config(quant_type), filter_fn=lambda *_: True)
        if quant_type.weight is NumberFormat.INT8 and is_quantized(linear):
            _round_in_float32(linear.weight, original, quant_type)
    if quant_type.weight.is_fp8 and is_quantized(linear):
        _zero_dead_channels(linear.weight)


def _round_in_float32(weight: Any, original: Tensor, quant_type: QuantType) -> None:
    """The reference's codes: torchao 0.17 rounds in half precision, which puts 8% of them off."""
    exact = quantize(original, quant_type.weight, quant_type.granularity)
    weight.qdata.copy_(exact.values)


def _replace_int4_weight(linear: nn.Linear, quant_type: QuantType) -> None:
    """Works on the weight times a power of two, which changes no code.

    torchao 0.17 lets no bfloat16 scale fall below 2**-7, far too coarse for common weights.
    """
    from torchao.quantization import quantize_

    linear.weight = nn.Parameter(linear.weight.detach() * _INT4_FACTOR, requires_grad=False)
    quantize_(linear, torchao_config(quant_type), filter_fn=lambda *_: True)
    if is_quantized(linear):
        cast(Any, linear.weight).scale_and_zero.div_(_INT4_FACTOR)


def _is_per_tensor_weight_only(quant_type: QuantType) -> bool:
    # torchao 0.17 has the tensor for it and no config.
    return quant_type.weight_only and quant_type.granularity is Granularity.PER_TENSOR


def _per_tensor_weight(linear: nn.Linear, quant_type: QuantType) -> Tensor:
    from torchao.quantization import Float8Tensor, PerTensor

    dtype = FP8_FORMATS[quant_type.weight].dtype
    weight: Tensor = Float8Tensor.from_hp(linear.weight.detach(), dtype, granularity=PerTensor())
    return weight


def torchao_config(quant_type: QuantType) -> Any:
    """The configuration that torchao quantizes a linear by."""
    # torchao's set_inductor_config would change global Inductor flags for good.
    from torchao import quantization as ao

    if quant_type.weight is NumberFormat.INT4:
        return ao.Int4WeightOnlyConfig(
            group_size=quant_type.group_size,
            int4_packing_format="tile_packed_to_4d",
            set_inductor_config=False,
        )
    if quant_type.weight is NumberFormat.INT8:
        kind = (
            ao.Int8WeightOnlyConfig
            if quant_type.weight_only
            else ao.Int8DynamicActivationInt8WeightConfig
        )
        return kind(version=2, set_inductor_config=False)
    return _fp8_config(quant_type)


def _fp8_config(quant_type: QuantType) -> Any:
    from torchao import quantization as ao

    weight_dtype = FP8_FORMATS[quant_type.weight].dtype
    if quant_type.activation is None:
        return ao.Float8WeightOnlyConfig(weight_dtype=weight_dtype, set_inductor_config=False)
    per_axis = quant_type.granularity is Granularity.PER_AXIS
    return ao.Float8DynamicActivationFloat8WeightConfig(
        activation_dtype=FP8_FORMATS[quant_type.activation].dtype,
        weight_dtype=weight_dtype,
        granularity=ao.PerRow() if per_axis else ao.PerTensor(),
        activation_value_lb=SMALLEST_AMAX,
        set_inductor_config=False,
    )


def _zero_dead_channels(weight: Any) -> None:
    """Undoes torchao's 0 / 0 = NaN in all-zero channels."""
    dead = weight.scale == 0
    weight.qdata.view(torch.uint8).masked_fill_(dead, 0)
    weight.scale.masked_fill_(dead, 1.0)


def _check_request(linear: nn.Linear, quant_type: QuantType) -> None:
    reason = _wrong_shape(linear, quant_type) or _wrong_dtype(linear.weight.dtype, quant_type)
    if reason:
        raise RequestError(
            f"a layer cannot be quantized to {quant_type.name}",
            cause=reason,
            next_step="leave this layer out or choose another quant type",
        )


def _wrong_shape(linear: nn.Linear, quant_type: QuantType) -> str | None:
    """The CUDA kernels' rules; torchao would skip the layer, or compute int8 on the CPU."""
    if linear.weight.device.type != "cuda":
        return None
    return shape_exclusion(linear.in_features, linear.out_features, quant_type)


def _wrong_dtype(dtype: torch.dtype, quant_type: QuantType) -> str | None:
    per_axis_fp8 = quant_type.weight.is_fp8 and quant_type.granularity is Granularity.PER_AXIS
    bfloat16_only = quant_type.weight is NumberFormat.INT4 or (
        per_axis_fp8 and not quant_type.weight_only
    )
    if not bfloat16_only or dtype is torch.bfloat16:
        return None
    return f"its kernel takes bfloat16 only, this weight is {str(dtype).removeprefix('torch.')}"


def _failed(quant_type: QuantType, cause: str) -> WorkError:
    return WorkError(
        f"{quant_type.name} did not work on this layer",
        cause=cause,
        next_step="simulate it, or choose a quant type that this device runs",
    )
