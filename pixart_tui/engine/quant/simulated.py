"""A linear layer that computes what a quantized one would, in the layer's own dtype."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat, QuantType
from pixart_tui.engine.quant.reference import dequantize, quantize, round_trip, scale_of


@dataclass(frozen=True, slots=True)
class BatchLayout:
    """How independent images lie in one batch: guidance-major, as diffusers concatenates them.

    A per-tensor activation scale covers one image's whole forward. Profiling several images in
    one batch keeps that meaning if it says how they lie; other granularities do not care.

    Attributes:
        guidance: 2 with classifier-free guidance, else 1.
        images: Independent images, next to each other within each guidance half.
    """

    guidance: int = 1
    images: int = 1

    def by_image(self, x: Tensor, *rest: int) -> Tensor:
        """``x`` as (guidance, images, *rest).

        Raises:
            WorkError: The batch does not hold that many images.
        """
        if x.shape[0] % (self.guidance * self.images):
            raise WorkError(
                f"a batch of {x.shape[0]} does not hold {self.images} images",
                cause=f"each image takes {self.guidance} entries; a per-tensor scale covers "
                "one image",
                next_step="report this with the command that was run",
            )
        return x.reshape(self.guidance, self.images, *rest)


ONE_IMAGE: Final = BatchLayout()


class SimulatedLinear(nn.Module):
    """Stands in for an ``nn.Linear`` and adds the quantization error, not the speed.

    The weight is quantized and dequantized once, the activation at every call. For inference:
    no gradient flows into a quantized activation.

    Args:
        linear: The layer to imitate; it is left alone, its bias is shared.
        quant_type: What it would be quantized to.
        layout: How images lie in the batch, for per-tensor activation scales.

    Attributes:
        weight: (N, K), dequantized, in the layer's dtype.
        bias: (N,) or None.
    """

    def __init__(
        self, linear: nn.Linear, quant_type: QuantType, layout: BatchLayout = ONE_IMAGE
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.quant_type, self.layout = quant_type, layout
        self.weight = nn.Parameter(_dequantized(linear.weight, quant_type), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, (..., N) for an input (..., K)."""
        return functional.linear(self.rounded(x), self.weight, self.bias)

    def rounding_error(self, x: Tensor) -> Tensor:
        """Computes the rounding error of quantizing the activation, in the dtype of ``x``.

        The difference is formed in float32. On a GPU one kernel does it.
        """
        activation = self.quant_type.activation
        if activation is None:
            return torch.zeros_like(x)
        if x.device.type != "cuda":
            return (self.rounded(x).float() - x.float()).to(x.dtype)
        # Only now: triton is where CUDA is.
        from pixart_tui.engine.kernels.rounding import rounding_error

        return rounding_error(x, activation, self._scales_by_row(x, activation))

    def _scales_by_row(self, x: Tensor, activation: NumberFormat) -> Tensor | None:
        """An image's scale for each of its rows; None where each row has its own."""
        if self.quant_type.granularity is Granularity.PER_AXIS:
            return None
        scales = scale_of(self.layout.by_image(x, -1), activation, (0, 2))
        rows = x.numel() // x.shape[-1]
        by_image = self.layout.guidance * self.layout.images
        every = scales.expand(self.layout.guidance, -1, rows // by_image)
        return every.reshape(rows)

    def extra_repr(self) -> str:
        """Returns the layer's text for ``print``."""
        return f"{self.in_features}, {self.out_features}, simulated {self.quant_type.name}"

    def rounded(self, x: Tensor) -> Tensor:
        """The activation, quantized and dequantized, in the dtype of ``x``."""
        activation = self.quant_type.activation
        if activation is None:
            return x
        if self.quant_type.granularity is Granularity.PER_AXIS:
            return round_trip(x, activation)
        by_image = self.layout.by_image(x, -1)
        return round_trip(by_image, activation, dims=(0, 2)).reshape(x.shape)


@torch.no_grad()
def _dequantized(weight: Tensor, quant_type: QuantType) -> Tensor:
    quantized = quantize(
        weight.detach(), quant_type.weight, quant_type.granularity, quant_type.group_size
    )
    return dequantize(quantized)
