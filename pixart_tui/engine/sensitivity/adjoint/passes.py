"""One backward pass as its taps see it: what they fill, and the products that they form."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixart_tui.engine.quant.simulated import BatchLayout


@dataclass(slots=True)
class Pass:
    """The state that the taps of one backward pass share.

    Attributes:
        layout: How images lie among the rows of the batch.
        effects: (images, draws, targets, quant types), filled by the taps; float32. Behind the
            layers come the attention targets, and behind the quant types fp8 attention, if any.
        first: The first of the draws that go back now.
    """

    layout: BatchLayout
    effects: Tensor
    first: int = 0


def inner_products(gradient: Tensor, errors: Tensor, layout: BatchLayout) -> Tensor:
    """<g, d> of each image, draw and quant type, over both halves of the guidance.

    Args:
        gradient: (draws, rows, ..., N).
        errors: (types, rows, ..., N).
        layout: How images lie among the rows.

    Returns:
        (images, draws, types).
    """
    draws = len(gradient)
    if layout.images == 1 and gradient.device.type == "cpu":
        product: Tensor = gradient.flatten(1) @ errors.flatten(1).T
        return product[None]
    # Row by row: a GPU has no fast kernel for a product of few very long vectors.
    g = gradient.reshape(draws, -1, gradient.shape[-1]).transpose(0, 1)
    d = errors.reshape(len(errors), -1, errors.shape[-1]).permute(1, 2, 0)
    by_row = torch.bmm(g, d).reshape(layout.guidance, layout.images, -1, draws, len(errors))
    return by_row.sum((0, 2), dtype=torch.float32)
