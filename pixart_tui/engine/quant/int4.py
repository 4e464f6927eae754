"""The int4 weights of tinygemm: groups along the input features, asymmetric.

Formulas: torchao's ``_choose_qparams_affine_tinygemm``, ``_quantize_affine_tinygemm`` and
``_dequantize_affine_tinygemm``, which compute in the weight's own dtype. The floor of the scale
is torchao 0.18's, the dtype's smallest normal number.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.formats import INT4_RANGE

_MIDPOINT: Final = (INT4_RANGE[1] + INT4_RANGE[0] + 1) / 2


def quantize_groups(weight: Tensor, group_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Codes, scales and zero points of a weight.

    Args:
        weight: (N, K), K a multiple of ``group_size``.
        group_size: Input features that share a scale.

    Returns:
        Codes 0 to 15 as int8 (N, K); scales and zero points (N, K / group_size, 1) in the
        weight's dtype. A NaN or an infinity makes the scale of its group NaN or infinite.

    Raises:
        RequestError: K is not a multiple of ``group_size``.
    """
    groups = _grouped(weight, group_size)
    smallest, largest = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    eps = torch.finfo(weight.dtype).smallest_normal
    scale = ((largest - smallest) / float(INT4_RANGE[1] - INT4_RANGE[0])).clamp(min=eps)
    zero_point = smallest + scale * _MIDPOINT
    codes = ((groups - (zero_point - scale * _MIDPOINT)) / scale).round().clamp(*INT4_RANGE)
    return codes.nan_to_num_(0.0).to(torch.int8).reshape(weight.shape), scale, zero_point


def dequantize_groups(codes: Tensor, scale: Tensor, zero_point: Tensor) -> Tensor:
    """The weight that the codes stand for, (N, K) in the scale's dtype."""
    groups = codes.reshape(*codes.shape[:-1], scale.shape[-2], -1).to(scale.dtype)
    return ((groups - _MIDPOINT) * scale + zero_point).reshape(codes.shape)


def _grouped(weight: Tensor, group_size: int) -> Tensor:
    if weight.shape[-1] % group_size:
        raise RequestError(
            f"a weight of shape {tuple(weight.shape)} cannot be quantized to int4",
            cause=f"its {weight.shape[-1]} input features are not a multiple of the group size "
            f"{group_size}",
            next_step="leave this layer out",
        )
    return weight.reshape(*weight.shape[:-1], -1, group_size)
