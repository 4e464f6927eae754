"""Linears that hold int8 weights and multiply in the dtype of their input."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

_LARGEST_CODE: Final = 127
_HOPPER: Final = 9
_TMA_BYTES: Final = 16


class Int8Linear(nn.Module):
    """A linear with int8 weights, symmetric, one scale for each output channel.

    The weight is unpacked for each product: where a GPU takes an unpacked operand from registers
    (Hopper), within the product; elsewhere in one kernel before it, so that a CUDA graph can hold
    it and nothing of the unpacked weight outlives the product. It is called ``weight`` and is int8,
    which is how T5's feed-forward recognizes that it must not cast its activations to it.

    Args:
        linear: What is quantized; it is left as it was.
    """

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        weight = linear.weight.detach()
        largest = weight.abs().amax(dim=1, keepdim=True).float()
        # Rounded to the weight's dtype before the codes are made, so that codes * scale is meant
        # by both; the floor keeps a channel of zeros finite.
        scale = (largest / _LARGEST_CODE).clamp(min=torch.finfo(torch.float16).tiny)
        scale = scale.to(weight.dtype)
        codes = (weight.float() / scale.float()).round_().clamp_(-_LARGEST_CODE, _LARGEST_CODE)
        self.register_buffer("weight", codes.to(torch.int8))
        self.register_buffer("scale", scale)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        """``x @ (weight * scale).T + bias``.

        Args:
            x: (..., in_features), floating-point.

        Returns:
            (..., out_features), in the dtype of ``x``.
        """
        if self.bias is None and _unpacks_in_registers(x):
            from pixart_tui.engine.kernels.int8_weight_matmul import int8_weight_matmul

            rows = x.reshape(-1, x.shape[-1]).contiguous()
            y = int8_weight_matmul(rows, self.weight, self.scale)
            return y.view(*x.shape[:-1], y.shape[-1])
        return functional.linear(x, self.weight * self.scale.to(x.dtype), self.bias)


def _unpacks_in_registers(x: Tensor) -> bool:
    if not x.is_cuda or x.dtype != torch.bfloat16 or x.shape[-1] % _TMA_BYTES:
        return False
    return torch.cuda.get_device_capability(x.device)[0] == _HOPPER


def quantize_linears(module: nn.Module) -> None:
    """Replaces every linear below a module, one by one, so that each is held twice only briefly."""
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear):
                setattr(parent, name, Int8Linear(child))
