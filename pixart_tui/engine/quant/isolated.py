"""One linear layer that runs the real kernel inside a model of another dtype."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import PixartTuiError, first_line
from pixart_tui.domain.layers.quant_types import Granularity, QuantType
from pixart_tui.engine.quant.real import quantize_weight
from pixart_tui.engine.quant.simulated import ONE_IMAGE, BatchLayout

KERNEL_DTYPE: Final = torch.bfloat16
"""The dtype that deployment hands to the kernels, and that all of them take."""


class IsolatedRealLinear(nn.Module):
    """Stands in for an ``nn.Linear`` and runs the quant type's real kernel.

    The kernel gets bfloat16 and gives bfloat16, as in deployment. In a float32 model the input,
    the weight, the bias and the output are therefore each rounded by up to 2**-8 of their value,
    which the simulation does not do. Beside e4m3, which rounds by up to 2**-4, that is little;
    int8 rounds by up to 2**-8 of a row's largest value, and there it counts. In a bfloat16 model
    the casts change nothing.

    A per-tensor activation scale covers one image's whole forward, so the kernel then runs once
    for each image of the batch.

    Args:
        linear: The layer to replace; it is left alone.
        quant_type: What it is quantized to.
        layout: How images lie in the batch, for per-tensor activation scales.

    Raises:
        RequestError: The kernel cannot take this shape.
        WorkError: torchao failed or skipped the layer.

    Attributes:
        kernel: The linear with torchao's weight.
    """

    def __init__(
        self, linear: nn.Linear, quant_type: QuantType, layout: BatchLayout = ONE_IMAGE
    ) -> None:
        super().__init__()
        self.quant_type, self.layout = quant_type, layout
        self.kernel = _in_kernel_dtype(linear)
        quantize_weight(self.kernel, quant_type)
        scaled_by_tensor = quant_type.granularity is Granularity.PER_TENSOR
        self._image_by_image = scaled_by_tensor and not quant_type.weight_only and layout.images > 1

    def forward(self, x: Tensor) -> Tensor:
        """The layer's output, (..., N) in the dtype of the input (..., K)."""
        rounded = x.to(KERNEL_DTYPE)
        y = self._run_image_by_image(rounded) if self._image_by_image else self.kernel(rounded)
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """Returns the layer's text for ``print``."""
        return f"real {self.quant_type.name}"

    def _run_image_by_image(self, x: Tensor) -> Tensor:
        parts = self.layout.by_image(x, -1, x.shape[-1]).unbind(1)
        return torch.stack([self.kernel(part) for part in parts], 1).reshape(*x.shape[:-1], -1)


@torch.no_grad()
def kernel_refusal(linear: nn.Linear, quant_type: QuantType, rows: int) -> str | None:
    """Why the kernel does not run this layer, found out by running it; None if it does.

    Args:
        linear: On the device that would run it.
        quant_type: What it would be quantized to.
        rows: Rows (M) of the matrix product.

    Raises:
        torch.OutOfMemoryError: The device is too full to try, which says nothing of the kernel.
    """
    x = torch.ones(rows, linear.in_features, dtype=KERNEL_DTYPE, device=linear.weight.device)
    try:
        # A kernel's error may come only when its result is asked for.
        float(IsolatedRealLinear(linear, quant_type)(x).sum())
    except torch.OutOfMemoryError:
        raise
    except PixartTuiError as error:
        return f"its kernel refused it: {error.cause}"
    except Exception as error:  # what a kernel raises for a shape that it lacks is anyone's guess
        return f"its kernel failed: {first_line(error)}"
    return None


def _in_kernel_dtype(linear: nn.Linear) -> nn.Linear:
    """Another linear of the same values, rounded; in a model of the kernel's dtype it shares."""
    made = nn.Linear(linear.in_features, linear.out_features, bias=False, device="meta")
    made.weight = _rounded(linear.weight)
    made.bias = None if linear.bias is None else _rounded(linear.bias)
    return made


def _rounded(parameter: Tensor) -> nn.Parameter:
    return nn.Parameter(parameter.detach().to(KERNEL_DTYPE), requires_grad=False)
