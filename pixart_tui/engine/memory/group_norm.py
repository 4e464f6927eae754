"""Group norm and SiLU in two steps: statistics over a whole image, then any part of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

Affine: TypeAlias = tuple[Tensor, Tensor]
"""Scale and shift of each channel, (1, c, 1, 1), float32."""


def group_norm_affine(norm: nn.GroupNorm, strips: Iterable[Tensor]) -> Affine:
    """Computes the factors and terms of a group norm from an image that comes in strips.

    Sums are kept in float64: the variance is the difference of two of them.

    Args:
        norm: The group norm.
        strips: (1, c, rows, width) each, together every pixel once.
    """
    pixels, parts = 0, []
    for strip in strips:
        pixels += strip.shape[2] * strip.shape[3]
        parts.append(_moments(strip))
    groups = torch.stack(parts).sum(0).view(2, norm.num_groups, -1)
    mean, square = groups.sum(-1) / (pixels * groups.shape[-1])
    inverse_std = (square - mean.square()).clamp(min=0).add(norm.eps).rsqrt()
    repeated = groups.shape[-1]
    scale = norm.weight * inverse_std.repeat_interleave(repeated)
    shift = norm.bias - mean.repeat_interleave(repeated) * scale
    return scale.float().view(1, -1, 1, 1), shift.float().view(1, -1, 1, 1)


def normalize_silu(x: Tensor, affine: Affine) -> Tensor:
    """``silu(x * scale + shift)``, computed in float32.

    Args:
        x: (1, c, rows, width), channels_last.
        affine: Of :func:`group_norm_affine`.

    Returns:
        Shaped and typed like ``x``, channels_last.
    """
    if x.is_cuda:
        from pixart_tui.engine.kernels.strip_norm import normalize

        return normalize(x.contiguous(memory_format=torch.channels_last), *affine)
    scale, shift = affine
    return functional.silu(torch.addcmul(shift, x.float(), scale)).to(x.dtype)


def _moments(strip: Tensor) -> Tensor:
    """Sum and sum of squares of each channel, (2, c), float64."""
    if strip.is_cuda:
        from pixart_tui.engine.kernels.strip_norm import moments

        return moments(strip.contiguous(memory_format=torch.channels_last))
    wide = strip[0].double()
    return torch.stack([wide.sum((1, 2)), wide.square().sum((1, 2))])
