"""One real layer inside a model of another dtype, with the kernels that a CPU has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.layers.quant_types import (
    Granularity,
    NumberFormat,
    QuantType,
    parse_quant_type,
)
from pixart_tui.engine.quant.isolated import IsolatedRealLinear, kernel_refusal
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear

ON_CPU = ("int8_dynamic", "int8_weightonly", "fp8_e4m3_weightonly")


def linear_of(dtype: torch.dtype = torch.float32, *, bias: bool = True) -> nn.Linear:
    torch.manual_seed(0)
    linear = nn.Linear(64, 32, bias=bias, dtype=dtype)
    linear.requires_grad_(False)
    return linear


def randn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).float().norm() / expected.float().norm())


@pytest.mark.parametrize("name", ON_CPU)
@pytest.mark.parametrize("bias", [True, False])
def test_it_runs_in_bfloat16_and_answers_in_the_models_dtype(name: str, bias: bool) -> None:
    linear, quant_type, x = linear_of(bias=bias), parse_quant_type(name), randn(2, 20, 64)
    y = IsolatedRealLinear(linear, quant_type)(x)
    simulated = SimulatedLinear(linear, quant_type)(x)
    assert (y.dtype, y.shape) == (torch.float32, simulated.shape)
    assert torch.equal(y, y.bfloat16().float())
    assert relative_error(y, simulated) < 0.02
    assert relative_error(y, linear(x)) > 0.002


@pytest.mark.parametrize("name", ON_CPU)
def test_in_a_bfloat16_model_it_is_the_simulation_but_for_accumulation(name: str) -> None:
    linear, quant_type = linear_of(torch.bfloat16), parse_quant_type(name)
    x = randn(2, 20, 64, dtype=torch.bfloat16)
    y = IsolatedRealLinear(linear, quant_type)(x)
    assert y.dtype is torch.bfloat16
    assert relative_error(y, SimulatedLinear(linear, quant_type)(x)) < 0.01


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_layer_that_it_stands_for_is_left_alone(dtype: torch.dtype) -> None:
    linear = linear_of(dtype)
    weight, before = linear.weight, linear.weight.clone()
    IsolatedRealLinear(linear, parse_quant_type("int8_dynamic"))(randn(20, 64, dtype=dtype))
    assert linear.weight is weight
    assert torch.equal(weight, before)


class _Scaling(nn.Module):
    """A stand-in for a per-tensor kernel, which no CPU has: divides by the whole input's amax."""

    def forward(self, x: Tensor) -> Tensor:
        return x / x.abs().amax()


@pytest.mark.parametrize("shape", [(6, 5, 64), (6, 64), (12, 64)])
def test_a_per_tensor_scale_covers_one_image_with_both_guidance_halves(
    shape: tuple[int, ...],
) -> None:
    layer = IsolatedRealLinear(linear_of(), per_tensor_int8(), BatchLayout(2, 3))
    layer.kernel = _Scaling()  # type: ignore[assignment]
    x = randn(*shape, dtype=torch.bfloat16)
    y = layer(x)
    assert y.shape == shape
    for image in range(3):
        alone = x.reshape(2, 3, -1)[:, image]
        assert torch.equal(y.reshape(2, 3, -1)[:, image], alone / alone.abs().amax())


def per_tensor_int8() -> QuantType:
    """No user can name it; its torchao config is that of int8, and a CPU runs it."""
    return QuantType("int8_test", NumberFormat.INT8, NumberFormat.INT8, Granularity.PER_TENSOR)


def test_a_batch_that_does_not_hold_the_images_is_refused() -> None:
    layer = IsolatedRealLinear(linear_of(), per_tensor_int8(), BatchLayout(2, 3))
    with pytest.raises(WorkError, match="does not hold 3 images"):
        layer(randn(4, 64))


def test_a_kernel_that_runs_is_not_refused() -> None:
    assert kernel_refusal(linear_of(), parse_quant_type("int8_dynamic"), rows=20) is None


def test_a_kernel_that_fails_is_refused_with_its_words() -> None:
    if torch.cuda.is_available():
        pytest.skip("this is about a machine without int4 kernels")
    reason = kernel_refusal(linear_of(), parse_quant_type("int4_weightonly"), rows=20)
    assert reason is not None
    assert reason.startswith("its kernel")
    with pytest.raises((RequestError, WorkError)):
        IsolatedRealLinear(linear_of(), parse_quant_type("int4_weightonly"))
