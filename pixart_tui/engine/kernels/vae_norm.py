"""Group norm of images in channels_last memory, with what stands around it in a VAE's decoder.

Three kernels, each limited by memory. For a tensor of S bytes:

1. *Moments*: mean and sum of squared deviations of each channel over a chunk of pixels; reads S.
   It can add a residual and a bias on the way, in place; then it reads 2 S and writes S.
2. *Factors*: joins the moments of a group (Chan et al. 1979) into what each channel is to be
   shifted and scaled by; under 100 KiB.
3. *Apply*: shift, scale, optional SiLU, one rounding to the tensor's dtype; reads S, writes S.

Statistics are float32. Squares are taken of deviations from a mean of nearby pixels, so that a
large mean costs no digits. A bias per channel that a convolution has not added moves the means
only: the factors take it in, and no pass over the pixels is needed for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
import triton
import triton.language as tl
from torch import Tensor

_TILE: Final = 2048
"""Elements that a program holds at a time."""
_WARPS: Final = 4
_MOMENT_PROGRAMS: Final = 1024
"""Programs per image: two waves on 132 multiprocessors, and few moments to join."""
_APPLY_PROGRAMS: Final = 8192


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of each channel over chunks of pixels.

    Attributes:
        mean: Means, (images, chunks, channels), float32.
        squares: Sums of squared deviations from those means, same shape and dtype.
        pixels: Pixels of an image.
        rows: Pixels of a chunk; the last chunk may have fewer.
    """

    mean: Tensor
    squares: Tensor
    pixels: int
    rows: int


@triton.jit
def _tile(x_ptr, residual_ptr, bias, first, left, pixel, at, channels, ADD: tl.constexpr):
    """One tile of pixels, in the tensor's precision, as float32."""
    inside = (first + pixel < left)[:, None]
    offset = first * channels + at
    x = tl.load(x_ptr + offset, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        x += tl.load(residual_ptr + offset, mask=inside, other=0.0).to(tl.float32)
        x = (x + bias[None, :]).to(x_ptr.dtype.element_ty).to(tl.float32)
    return x, inside


@triton.jit
def moments_kernel(
    x_ptr,
    residual_ptr,
    bias_ptr,
    mean_ptr,
    squares_ptr,
    pixels,
    channels,
    rows,
    ADD: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """One chunk of pixels and one block of channels of one image; with ADD, x changes in place."""
    chunk = tl.program_id(0)
    image = tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    pixel = tl.arange(0, BLOCK_P)
    at = pixel[:, None] * channels + c[None, :]
    base = (image * pixels + chunk * rows) * channels
    x_ptr += base
    residual_ptr += base
    left = tl.minimum(pixels - chunk * rows, rows)
    bias = tl.zeros([BLOCK_C], tl.float32)
    if ADD:
        bias = tl.load(bias_ptr + c).to(tl.float32)
    x, inside = _tile(x_ptr, residual_ptr, bias, 0, left, pixel, at, channels, ADD)
    near = tl.sum(tl.where(inside, x, 0.0), 0) / tl.minimum(left, BLOCK_P).to(tl.float32)
    total = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    squares = tl.zeros([BLOCK_P, BLOCK_C], tl.float32)
    for first in range(0, left, BLOCK_P):
        x, inside = _tile(x_ptr, residual_ptr, bias, first, left, pixel, at, channels, ADD)
        if ADD:
            tl.store(x_ptr + first * channels + at, x.to(x_ptr.dtype.element_ty), mask=inside)
        d = tl.where(inside, x - near[None, :], 0.0)
        total += d
        squares += d * d
    drift = tl.sum(total, 0) / left.to(tl.float32)
    deviations = tl.sum(squares, 0) - drift * drift * left.to(tl.float32)
    out = (image * tl.num_programs(0) + chunk) * channels + c
    tl.store(mean_ptr + out, near + drift)
    tl.store(squares_ptr + out, tl.maximum(deviations, 0.0))


@triton.jit
def factors_kernel(
    mean_ptr,
    squares_ptr,
    bias_ptr,
    weight_ptr,
    center_ptr,
    scale_ptr,
    pixels,
    channels,
    rows,
    chunks,
    width,
    eps,
    BIASED: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One group of one image: what its channels are shifted and scaled by."""
    group = tl.program_id(0)
    image = tl.program_id(1).to(tl.int64)
    element = tl.arange(0, BLOCK)
    chunk = element // width
    c = group * width + element % width
    fits = chunk < chunks
    at = (image * chunks + chunk) * channels + c
    count = tl.where(fits, tl.minimum(pixels - chunk * rows, rows), 0).to(tl.float32)
    means = tl.load(mean_ptr + at, mask=fits, other=0.0)
    if BIASED:
        means += tl.load(bias_ptr + c, mask=fits, other=0.0).to(tl.float32)
    size = tl.sum(count, 0)
    mean = tl.sum(means * count, 0) / size
    d = means - mean
    within = tl.load(squares_ptr + at, mask=fits, other=0.0)
    variance = tl.sum(within + count * d * d, 0) / size
    e = tl.arange(0, BLOCK_D)
    channel = group * width + e
    in_group = e < width
    center = tl.zeros([BLOCK_D], tl.float32) + mean
    if BIASED:
        center -= tl.load(bias_ptr + channel, mask=in_group, other=0.0).to(tl.float32)
    weight = tl.load(weight_ptr + channel, mask=in_group, other=0.0).to(tl.float32)
    out = image * channels + channel
    tl.store(center_ptr + out, center, mask=in_group)
    tl.store(scale_ptr + out, weight / tl.sqrt(variance + eps), mask=in_group)


@triton.jit
def apply_kernel(
    x_ptr,
    center_ptr,
    scale_ptr,
    shift_ptr,
    out_ptr,
    pixels,
    channels,
    rows,
    SILU: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """(x - center) * scale + shift of one chunk of pixels and one block of channels."""
    chunk = tl.program_id(0)
    image = tl.program_id(2).to(tl.int64)
    c = tl.program_id(1) * BLOCK_C + tl.arange(0, BLOCK_C)
    pixel = tl.arange(0, BLOCK_P)
    at = pixel[:, None] * channels + c[None, :]
    base = (image * pixels + chunk * rows) * channels
    center = tl.load(center_ptr + image * channels + c)[None, :]
    scale = tl.load(scale_ptr + image * channels + c)[None, :]
    shift = tl.load(shift_ptr + c).to(tl.float32)[None, :]
    left = tl.minimum(pixels - chunk * rows, rows)
    for first in range(0, left, BLOCK_P):
        inside = (first + pixel < left)[:, None]
        offset = base + first * channels + at
        x = tl.load(x_ptr + offset, mask=inside, other=0.0).to(tl.float32)
        y = (x - center) * scale + shift
        if SILU:
            y = y / (1.0 + tl.exp(-y))
        tl.store(out_ptr + offset, y.to(out_ptr.dtype.element_ty), mask=inside)


def channel_moments(x: Tensor) -> Moments:
    """Moments of images in channels_last memory, (images, channels, height, width)."""
    return _moments(x, x, None)


def add_with_moments(x: Tensor, residual: Tensor, bias: Tensor) -> Moments:
    """Adds to images in place, and returns the moments of what they have become.

    Args:
        x: (images, channels, height, width), channels_last; becomes ``x + residual + bias``,
            rounded once.
        residual: Same shape, dtype and memory.
        bias: (channels,).
    """
    _check(residual)
    return _moments(x, residual, bias)


def group_norm(
    x: Tensor,
    moments: Moments,
    norm: torch.nn.GroupNorm,
    *,
    silu: bool,
    bias: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor:
    """Group norm of ``x + bias``, with SiLU after it if asked.

    Args:
        x: (images, channels, height, width), channels_last.
        moments: Those of ``x``, without the bias.
        norm: Groups, weights and eps.
        silu: Whether SiLU follows.
        bias: (channels,), what the convolution before has left out.
        out: Where to write, same shape and memory; ``x`` itself is allowed.
    """
    _check(x)
    out = torch.empty_like(x) if out is None else out
    images, channels = x.shape[:2]
    center, scale = _factors(moments, norm, bias)
    block = _channel_block(channels)
    rows = _rows(moments.pixels, channels, block, _APPLY_PROGRAMS)
    apply_kernel[(triton.cdiv(moments.pixels, rows), channels // block, images)](
        x,
        center,
        scale,
        norm.bias,
        out,
        moments.pixels,
        channels,
        rows,
        SILU=silu,
        BLOCK_P=_TILE // block,
        BLOCK_C=block,
        num_warps=_WARPS,
    )
    return out


def _moments(x: Tensor, residual: Tensor, bias: Tensor | None) -> Moments:
    _check(x)
    images, channels, height, width = x.shape
    pixels = height * width
    block = _channel_block(channels)
    rows = _rows(pixels, channels, block, _MOMENT_PROGRAMS)
    chunks = triton.cdiv(pixels, rows)
    mean, squares = torch.empty(
        2, images, chunks, channels, device=x.device, dtype=torch.float32
    ).unbind()
    moments_kernel[(chunks, channels // block, images)](
        x,
        residual,
        x if bias is None else bias,
        mean,
        squares,
        pixels,
        channels,
        rows,
        ADD=bias is not None,
        BLOCK_P=_TILE // block,
        BLOCK_C=block,
        num_warps=_WARPS,
    )
    return Moments(mean, squares, pixels, rows)


def _factors(
    moments: Moments, norm: torch.nn.GroupNorm, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    images, chunks, channels = moments.mean.shape
    center, scale = torch.empty(
        2, images, channels, device=moments.mean.device, dtype=torch.float32
    ).unbind()
    width = channels // norm.num_groups
    factors_kernel[(norm.num_groups, images)](
        moments.mean,
        moments.squares,
        norm.weight if bias is None else bias,
        norm.weight,
        center,
        scale,
        moments.pixels,
        channels,
        moments.rows,
        chunks,
        width,
        norm.eps,
        BIASED=bias is not None,
        # Floors, so that the sizes of one model share one compiled kernel.
        BLOCK=max(4096, triton.next_power_of_2(chunks * width)),
        BLOCK_D=max(16, triton.next_power_of_2(width)),
        num_warps=8,
    )
    return center, scale


def _channel_block(channels: int) -> int:
    """The largest power of two that divides the channels, 128 at most."""
    return min(128, channels & -channels)


def _rows(pixels: int, channels: int, block: int, programs: int) -> int:
    """Pixels of a chunk, whole tiles, so that an image takes about that many programs."""
    tile = _TILE // block
    chunks = max(1, programs * block // channels)
    return tile * -(-pixels // (chunks * tile))


def _check(x: Tensor) -> None:
    if not x.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"a tensor of strides {x.stride()} is not channels_last")
