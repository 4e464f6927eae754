"""Enlarging an image by 2 and convolving it, as one transposed convolution.

Each output pixel sees 2 x 2 inputs, so 4 products for the 9 of a 3 x 3 convolution, and no enlarged
copy exists.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pixart_tui.engine.typing import Upsampler


def is_plain_upsampler(upsampler: Upsampler) -> bool:
    """Whether an ``Upsample2D`` repeats pixels and convolves, 3 x 3, and does nothing else."""
    return (
        upsampler.norm is None
        and upsampler.use_conv
        and not upsampler.use_conv_transpose
        and upsampler.interpolate
        and upsampler.name == "conv"
        and upsampler.conv.kernel_size == (3, 3)
    )


def upsampling_weight(weight: Tensor) -> Tensor:
    """Weights of the transposed convolution that enlarges by 2 and convolves.

    ``conv2d(interpolate(x, scale_factor=2), w, padding=1)`` is
    ``conv_transpose2d(x, upsampling_weight(w), stride=2, padding=1)``: an input pixel reaches
    output rows 2 i - 1 to 2 i + 2 through taps 2, 2 + 1, 1 + 0 and 0 of the 3 x 3 weights.

    Args:
        weight: (outputs, inputs, 3, 3).

    Returns:
        (inputs, outputs, 4, 4), summed in float32 or better and rounded once, channels_last.
    """
    taps = torch.tensor(
        [[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]],
        dtype=torch.promote_types(weight.dtype, torch.float32),
        device=weight.device,
    )
    wide = torch.einsum("ak,bl,oikl->ioab", taps, taps, weight.detach().to(taps.dtype))
    return wide.to(weight.dtype).contiguous(memory_format=torch.channels_last)
