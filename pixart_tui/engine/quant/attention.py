"""Reference numerics of fp8 attention: what the Hopper kernel computes, in plain torch.

Queries, keys and values are rounded to e4m3 without scales: beyond 448 they saturate, and NaN stays
NaN. The kernel takes keys in tiles of 128 from the last one to the first, with the largest score
that a row has met so far; probabilities, times 256 and not yet divided by their sum, are rounded to
e4m3 before they multiply the values, while their sum is made of the unrounded ones. Here all tiles
of some rows are computed at once: what a tile's probabilities are rounded against is the running
maximum, so that only the order of sums differs from the kernel's, and the precision of its power of
two (1.7e-3 in one of four).
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.layers.quant_types import NumberFormat
from pixart_tui.engine.formats import round_to_fp8_

TILE: Final = 128
"""Keys that the kernel takes at once."""

_LOG2_PEAK: Final = 8.0
"""The largest probability of a row becomes 2 to this, which e4m3 loses less of."""
_AT_ONCE: Final = 2**25
"""Scores that are in memory at once."""


@torch.no_grad()
def reference_fp8_attention(q: Tensor, k: Tensor, v: Tensor, *, scale: float) -> Tensor:
    """Softmax(scale q k^T) v with both products in fp8, as ``fp8_attention`` computes it.

    Args:
        q: Queries (B, M, H, D), of any floating-point dtype.
        k: Keys (B, N, H, D).
        v: Values (B, N, H, D).
        scale: What scores are multiplied by, positive.

    Returns:
        (B, M, H, D), float32. A row whose scores hold NaN is NaN, and a channel of the values that
        holds one is NaN in every row.
    """
    q, k, v = (_rounded(x).transpose(1, 2) for x in (q, k, v))
    batch, heads, queries, _ = q.shape
    rows = max(1, _AT_ONCE // (batch * heads * k.shape[2]))
    parts = [_attended(q[:, :, i : i + rows], k, v, scale) for i in range(0, queries, rows)]
    return torch.cat(parts, 2).transpose(1, 2)


def _rounded(x: Tensor) -> Tensor:
    """The numbers that the e4m3 codes stand for, float32."""
    return round_to_fp8_(x.to(torch.float32, copy=True), NumberFormat.E4M3)


def _attended(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """Attention of some rows, everything (B, H, tokens, D)."""
    scores = (q @ k.mT).mul_(scale * math.log2(math.e))
    count = scores.shape[-1]
    largest = _running_maxima(scores)
    final = largest[..., :1]
    # Of the tile that each key is in: the maximum when its probabilities were rounded.
    met = largest.repeat_interleave(TILE, -1)[..., :count]
    p = scores.sub_(met - _LOG2_PEAK).exp2_()
    shrink = (met - final).exp2_()
    total = (p * shrink).sum(-1, keepdim=True)
    p = round_to_fp8_(p, NumberFormat.E4M3).mul_(shrink)
    return (p @ v).div_(total)


def _running_maxima(scores: Tensor) -> Tensor:
    """The largest score of each tile and of those behind it, (..., tiles)."""
    by_tile = torch.stack([tile.amax(-1) for tile in torch.split(scores, TILE, -1)], -1)
    return by_tile.flip(-1).cummax(-1).values.flip(-1)
