"""Float32 products of a CPU by oneDNN with weights packed once.

Torch multiplies float32 matrices with MKL, which on AMD processors is slower than oneDNN with
packed weights: ``benchmarks/packed_linear.py`` measures it, and the figures are in
``benchmarks/results/speed/packed-linear.json``. Only the order of the additions differs. Where a
product may be of lower precision, a processor with bfloat16 instructions is twice as fast again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from pixart_tui.engine.precision import multiplies_bfloat16

_ROWS: Final = 512
"""Rows that the packing is chosen for; others give the same result."""


def pack_linears(module: nn.Module) -> int:
    """Lets every float32 linear on the CPU use packed weights; returns how many do.

    The modules and their parameters stay as they are; only ``forward`` of each instance changes.
    Where torch is built without oneDNN nothing is packed.
    """
    linears = [x for x in module.modules() if isinstance(x, nn.Linear)]
    linears = [linear for linear in linears if _can_be_packed(linear.weight)]
    for linear in linears:
        bias = None if linear.bias is None else linear.bias.detach()
        product = packed_product(linear.weight.detach(), bias)
        linear.forward = product  # type: ignore[method-assign, assignment]
    return len(linears)


def _can_be_packed(weight: Tensor) -> bool:
    on_cpu = weight.device.type == "cpu" and weight.dtype is torch.float32
    return on_cpu and bool(torch._C._has_mkldnn)


def packed_product(weight: Tensor, bias: Tensor | None = None) -> Callable[[Tensor], Tensor]:
    """The product with a weight (N, K), by packed weights where they can be packed.

    Args:
        weight: It must not change afterwards.
        bias: (N,) or None.

    Returns:
        A function from (..., K) to (..., N); no gradient flows through it.
    """
    if not _can_be_packed(weight):
        return lambda x: nn.functional.linear(x, weight, bias)
    return _packed(weight, bias)


def half_product(weight: Tensor) -> Callable[[Tensor], Tensor]:
    """The product with a weight (N, K), of half the precision where that is faster.

    On a CPU with bfloat16 instructions both factors and the result of a float32 product are
    rounded to 8 bits; sums are kept in float32. Anywhere else it is ``packed_product``.

    Args:
        weight: It must not change afterwards.

    Returns:
        A function from (..., K) to (..., N), in the dtype of its argument; no gradient flows
        through it.
    """
    if not (_can_be_packed(weight) and multiplies_bfloat16()):
        return packed_product(weight)
    product = _packed(weight.bfloat16(), None)
    return lambda x: product(x.bfloat16()).float()


def _packed(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Tensor]:
    # Inductor's own operators for frozen weights; eager torch has no public name for them.
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), _ROWS)

    def product(x: Tensor) -> Tensor:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")
        return found

    return product
