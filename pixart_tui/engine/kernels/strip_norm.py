"""Group norm of the strip decoder: sums over pixels, and what they make of any part of an image.

Both kernels read pixels whose channels lie together (channels_last). For P pixels of C values of
b bytes, ``moments`` reads P C b bytes and writes 8 C for each of its programs, ``normalize`` reads
and writes P C b each. Operations are few: memory decides the time. Offsets are 32 bits wide, so a
call takes at most 2**31 values; a strip has a hundredth of that.

``vae_norm`` works on whole images and keeps moments in its own form; here they are plain sums,
which strips of any height add up to.
"""

from __future__ import annotations

from typing import Any, Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_PIXELS: Final = 64
_CHANNELS: Final = 64
_BLOCK: Final = 2048


@triton.jit
def _moments(
    x_ptr, sums_ptr, pixels, WIDTH: tl.constexpr, PIXELS: tl.constexpr, CHANNELS: tl.constexpr
):
    """Sum and sum of squares of each channel over PIXELS pixels, float32."""
    part = tl.program_id(0)
    row = part * PIXELS + tl.arange(0, PIXELS)[:, None]
    column = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)[None, :]
    fits = (row < pixels) & (column < WIDTH)
    x = tl.load(x_ptr + row * WIDTH + column, mask=fits, other=0.0).to(tl.float32)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    at = part * 2 * WIDTH + channel
    tl.store(sums_ptr + at, tl.sum(x, 0), mask=channel < WIDTH)
    tl.store(sums_ptr + at + WIDTH, tl.sum(x * x, 0), mask=channel < WIDTH)


@triton.jit
def _normalize(
    x_ptr, scale_ptr, shift_ptr, y_ptr, values, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    """``silu(x * scale + shift)`` with float32 inside."""
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    fits = at < values
    channel = at % WIDTH
    x = tl.load(x_ptr + at, mask=fits, other=0.0).to(tl.float32)
    scale = tl.load(scale_ptr + channel, mask=fits, other=0.0)
    shift = tl.load(shift_ptr + channel, mask=fits, other=0.0)
    x = x * scale + shift
    tl.store(y_ptr + at, (x / (1.0 + tl.exp(-x))).to(y_ptr.dtype.element_ty), mask=fits)


def moments(x: Tensor) -> Tensor:
    """Sum and sum of squares of each channel.

    Args:
        x: (1, c, h, w), channels_last.

    Returns:
        (2, c), float64.
    """
    width, pixels = x.shape[1], x.shape[2] * x.shape[3]
    grid = (triton.cdiv(pixels, _PIXELS), triton.cdiv(width, _CHANNELS))
    sums = torch.empty(grid[0], 2, width, dtype=torch.float32, device=x.device)
    kernel: Any = _moments
    with torch.cuda.device_of(x):
        kernel[grid](x, sums, pixels, WIDTH=width, PIXELS=_PIXELS, CHANNELS=_CHANNELS)
    return sums.sum(0, dtype=torch.float64)


def normalize(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """``silu(x * scale + shift)``, rounded once.

    Args:
        x: (1, c, h, w), channels_last.
        scale: c values, float32.
        shift: c values, float32.

    Returns:
        Shaped, laid out and typed like ``x``.
    """
    y = torch.empty_like(x, memory_format=torch.channels_last)
    grid = (triton.cdiv(x.numel(), _BLOCK),)
    kernel: Any = _normalize
    with torch.cuda.device_of(x):
        kernel[grid](x, scale, shift, y, x.numel(), WIDTH=x.shape[1], BLOCK=_BLOCK)
    return y
