"""Calling the Hopper attention kernel: descriptors, launch, and the layout that fp8 wants."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor
from triton.experimental.gluon import language as gl
from triton.experimental.gluon.nvidia.hopper import TensorDescriptor

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.kernels.flash_hopper import (
    CONSUMERS,
    KEYS,
    LAUNCH_REGISTERS,
    ROWS,
    WARPS,
    attention_kernel,
)

_LOG2_E: Final = math.log2(math.e)


def _descriptors(
    x: Tensor, order: tuple[int, int, int, int], tiles: Sequence[tuple[int, int]]
) -> Iterator[TensorDescriptor]:
    """TMA descriptors of tiles (rows, columns) of a tensor, its dimensions taken in an order."""
    shape = [x.shape[i] for i in order]
    strides = [x.stride(i) for i in order]
    for rows, columns in tiles:
        bits = 8 * x.element_size()
        layout = gl.NVMMASharedLayout(min(columns * bits // 8, 128), bits, 4)
        yield TensorDescriptor(x, shape, strides, [1, 1, rows, columns], layout)


def _split(width: int, least: int) -> tuple[int, int]:
    """The power of two and the tail (a power of two, `least` at least, or 0) that cover a head."""
    head = 1 << (width.bit_length() - 1)
    rest = width - head
    return head, max(least, 1 << (rest - 1).bit_length()) if rest else 0


def _launch(q: Tensor, k: Tensor, v: Tensor, out: Tensor, scale: float, unit: float) -> None:
    """Runs the kernel; the sums of the probabilities are multiplied by ``unit``."""
    b, m, h, d = q.shape
    n = k.shape[1]
    fp8 = q.element_size() == 1
    head, tail = _split(d, 32 if fp8 else 16)
    widths = (head, tail or head)
    rows_first = (0, 2, 1, 3)
    if fp8:  # transposed, all columns in one tile
        v_order, v_tiles = (0, 1, 2, 3), [(2 * head if tail else head, KEYS)] * 2
    else:
        v_order, v_tiles = rows_first, [(KEYS, w) for w in widths]
    descriptors = (
        *_descriptors(q, rows_first, [(ROWS, w) for w in widths]),
        *_descriptors(k, rows_first, [(KEYS, w) for w in widths]),
        *_descriptors(v, v_order, v_tiles),
    )
    count = -(-m // (ROWS * CONSUMERS)) * b * h
    sizes = (m, n, h, count, scale * _LOG2_E, unit)
    options = {"num_warps": WARPS, "maxnreg": LAUNCH_REGISTERS}
    programs = min(count, _processors(q.device))
    attention_kernel[(programs,)](*descriptors, out, *sizes, d, tail, n % KEYS == 0, **options)


@lru_cache
def _processors(device: torch.device) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


def _check(q: Tensor, dtype: torch.dtype, least: int, scale: float) -> None:
    width = q.shape[3]
    if q.dtype != dtype or width % 8 or not least <= width <= 128 or scale <= 0:
        raise RequestError(
            f"the Hopper attention kernel does not do {q.dtype} heads of {width}, scale {scale}",
            cause=f"it takes {dtype}, heads of {least} to 128 in steps of 8, and a positive scale",
            next_step="use scaled_dot_product_attention",
        )


def flash_attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor | None = None,
    *,
    scale: float,
) -> Tensor:
    """Scaled dot product attention, softmax(scale q k^T) v.

    Args:
        q: Queries (B, M, H, D), bf16, D a multiple of 8 from 16 to 128. Any view whose last
            dimension is contiguous and whose strides and start are multiples of 16 bytes.
        k: Keys (B, N, H, D), likewise.
        v: Values (B, N, H, D), likewise.
        out: Where to write, (B, M, H, D) bf16, contiguous; a new tensor without it.
        scale: What scores are multiplied by, positive.

    Returns:
        `out`.

    Raises:
        RequestError: Another dtype, head size or scale.
    """
    _check(q, torch.bfloat16, 16, scale)
    if out is None:
        out = torch.empty(q.shape, dtype=q.dtype, device=q.device)
    _launch(q, k, v, out, scale, 1.0)
    return out


def permute_keys(v: Tensor) -> Tensor:
    """Values as `flash_attention_fp8` reads them.

    Transposed, because 8-bit tensor cores want both factors along the keys, and every 16 keys in
    the order 0 1 8 9, 2 3 10 11, 4 5 12 13, 6 7 14 15: see `e4m3_words`.

    Args:
        v: (B, N, H, D) e4m3.

    Returns:
        (B, H, D, N rounded up to 16) e4m3, contiguous, zeros beyond N.
    """
    b, n, h, d = v.shape
    padded = torch.zeros((b, h, d, -(-n // 16) * 16), dtype=torch.uint8, device=v.device)
    padded[..., :n] = v.view(torch.uint8).permute(0, 2, 3, 1)
    pairs = padded.view(b, h, d, -1, 2, 4, 2).transpose(4, 5)
    return pairs.reshape(padded.shape).view(v.dtype)


def flash_attention_fp8(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    out: Tensor | None = None,
    *,
    scale: float,
    value_scale: float = 1.0,
) -> Tensor:
    """Attention of e4m3 tensors; probabilities are rounded to e4m3 too.

    Args:
        q: Queries (B, M, H, D), e4m3, D a multiple of 8 from 32 to 128; strides and start
            multiples of 16 bytes, so for D = 72 a view of rows of 80 or 96.
        k: Keys (B, N, H, D), likewise.
        v: Values as `permute_keys` returns them.
        out: Where to write, (B, M, H, D) bf16, contiguous; a new tensor without it.
        scale: What scores are multiplied by, the scales of queries and keys included; positive.
        value_scale: What values are multiplied by.

    Returns:
        `out`.

    Raises:
        RequestError: Another dtype, head size or scale.
    """
    _check(q, torch.float8_e4m3fn, 32, scale)
    if out is None:
        out = torch.empty(q.shape, dtype=torch.bfloat16, device=q.device)
    _launch(q, k, v, out, scale, 1.0 / value_scale)
    return out
