"""Weights of several linears as one tensor."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def packed_rows(weights: Sequence[Tensor]) -> Tensor:
    """(sum of N, K): a view where the weights lie one behind the other, else a copy.

    Two transformers may share weights, one with all linears of a product in 16 bits and the other
    with some. If the first packs before the second, the second finds views of what is packed:
    neighbors are taken as they lie. Those with a gap between them (q and v, where k alone is
    quantized) are copied: both copies hold the same values, and each transformer reads its own.

    Args:
        weights: At least one, contiguous, (N, K), with the same K and dtype.
    """
    first = weights[0]
    if not _are_neighbors(weights):
        # Nothing concatenates fp8.
        rows = [w.view(torch.uint8) if w.itemsize == 1 else w for w in weights]
        return torch.cat(rows).view(first.dtype)
    height = sum(weight.shape[0] for weight in weights)
    return first.as_strided((height, first.shape[1]), (first.shape[1], 1))


def _are_neighbors(weights: Sequence[Tensor]) -> bool:
    storage, end = weights[0].untyped_storage().data_ptr(), weights[0].storage_offset()
    for weight in weights:
        if weight.untyped_storage().data_ptr() != storage or weight.storage_offset() != end:
            return False
        end += weight.numel()
    return True
