"""Float32 products of a CPU by oneDNN with weights packed once.

Torch multiplies float32 matrices with MKL, which on AMD processors is slower than oneDNN with
packed weights: ``benchmarks/packed_linear.py`` measures it, and the figures are in
``benchmarks/results/packed-linear.json``. Only the order of the additions differs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

_ROWS: Final = 512
"""Rows that the packing is chosen for; others give the same result."""


def pack_linears(module: nn.Module) -> int:
    """Lets every float32 linear on the CPU use packed weights; returns how many do.

    The modules and their parameters stay as they are; only ``forward`` of each instance changes.
    Where torch is built without oneDNN nothing is packed.
    """
    if not torch._C._has_mkldnn:
        return 0
    linears = [x for x in module.modules() if isinstance(x, nn.Linear) and _can_be_packed(x)]
    for linear in linears:
        linear.forward = _packed_forward(linear)  # type: ignore[method-assign, assignment]
    return len(linears)


def _can_be_packed(linear: nn.Linear) -> bool:
    return linear.weight.device.type == "cpu" and linear.weight.dtype is torch.float32


def _packed_forward(linear: nn.Linear) -> Callable[[Tensor], Tensor]:
    # Inductor's own operators for frozen weights; eager torch has no public name for them.
    packed = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), _ROWS)
    bias = None if linear.bias is None else linear.bias.detach()

    def forward(x: Tensor) -> Tensor:
        product: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
        return product

    return forward
