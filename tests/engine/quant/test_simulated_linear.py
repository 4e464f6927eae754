"""The simulated layer against ``torch._scaled_mm`` and against plain arithmetic."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.layers.quant_types import (
    QUANT_TYPE_NAMES,
    QuantType,
    coarsest,
    parse_quant_type,
)
from pixart_tui.engine.quant.reference import quantize
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear

FP8_DYNAMIC = [name for name in QUANT_TYPE_NAMES if name.startswith("fp8") and "dynamic" in name]
PER_TENSOR = "fp8_e4m3_e4m3_dynamic_per_tensor"


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def linear_of(
    in_features: int, out_features: int, *, bias: bool = True, dtype: torch.dtype = torch.float32
) -> nn.Linear:
    linear = nn.Linear(in_features, out_features, bias=bias, dtype=dtype)
    linear.weight.data = randn(out_features, in_features, seed=1, dtype=dtype)
    if bias:
        linear.bias.data = randn(out_features, seed=2, dtype=dtype)
    return linear


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).float().norm() / expected.float().norm())


def scaled_mm(x: Tensor, linear: nn.Linear, quant_type: QuantType) -> Tensor:
    """What the kernel computes from the codes and scales of the reference."""
    assert quant_type.activation is not None
    tokens = x.reshape(-1, x.shape[-1])
    a = quantize(tokens, quant_type.activation, quant_type.granularity)
    b = quantize(linear.weight.detach(), quant_type.weight, quant_type.granularity)
    product: Tensor = torch._scaled_mm(
        a.values, b.values.t(), scale_a=a.scale, scale_b=b.scale.t(), out_dtype=torch.float32
    )
    bias = 0 if linear.bias is None else linear.bias.detach()
    return (product + bias).reshape(*x.shape[:-1], -1)


@pytest.mark.parametrize("name", FP8_DYNAMIC)
@pytest.mark.parametrize(
    ("shape", "out_features"), [((2, 5, 64), 48), ((7, 32), 16), ((3, 1, 128), 32)]
)
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_every_fp8_pair_matches_scaled_mm(
    name: str, shape: tuple[int, ...], out_features: int, bias: bool
) -> None:
    x, linear, quant_type = randn(*shape), linear_of(shape[-1], out_features, bias=bias), name
    expected = scaled_mm(x, linear, parse_quant_type(quant_type))
    actual = SimulatedLinear(linear, parse_quant_type(quant_type))(x)
    assert actual.shape == expected.shape
    assert relative_error(actual, expected) < 1e-5
    assert relative_error(linear(x), expected) > 0.01


@torch.no_grad()
def test_int8_dynamic_matches_integer_arithmetic() -> None:
    x, linear, quant_type = randn(9, 64), linear_of(64, 24), parse_quant_type("int8_dynamic")
    a = quantize(x, quant_type.weight, quant_type.granularity)
    b = quantize(linear.weight, quant_type.weight, quant_type.granularity)
    product = a.values.long() @ b.values.long().t()
    expected = product.double() * a.scale.double() * b.scale.double().t() + linear.bias
    actual = SimulatedLinear(linear, quant_type)(x)
    assert relative_error(actual, expected) < 1e-5
    assert relative_error(linear(x), expected) > 0.002


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
@torch.no_grad()
def test_every_type_in_every_dtype_adds_an_error_of_its_size(name: str, dtype: torch.dtype) -> None:
    linear, x = linear_of(256, 64, dtype=dtype), randn(2, 9, 256, dtype=dtype)
    y = SimulatedLinear(linear, parse_quant_type(name))(x)
    assert (y.dtype, y.shape) == (dtype, (2, 9, 64))
    assert 0.002 < relative_error(y, linear(x)) < 0.15


@torch.no_grad()
def test_worse_formats_give_larger_errors() -> None:
    linear, x = linear_of(256, 64), randn(2, 9, 256)
    names = ("int8_dynamic", "fp8_e4m3_e4m3_dynamic", "fp8_e4m3_e5m2_dynamic")
    layers = [SimulatedLinear(linear, parse_quant_type(name)) for name in names]
    errors = [relative_error(layer(x), linear(x)) for layer in layers]
    assert errors == sorted(errors)


@pytest.mark.parametrize("other", QUANT_TYPE_NAMES)
@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
@torch.no_grad()
def test_the_coarser_of_two_types_gives_the_larger_error(name: str, other: str) -> None:
    linear, x = linear_of(256, 64), randn(64, 256)
    pair = [parse_quant_type(name), parse_quant_type(other)]
    errors = {
        quant_type: relative_error(SimulatedLinear(linear, quant_type)(x), linear(x))
        for quant_type in pair
    }
    # Types that share the formats but not the scales are about as coarse.
    assert errors[coarsest(pair)] > 0.95 * max(errors.values())
    assert coarsest(pair[::-1]) in pair


@pytest.mark.parametrize("name", ["fp8_e4m3_e4m3_dynamic", PER_TENSOR, "int8_dynamic"])
@torch.no_grad()
def test_strided_input_counts_like_contiguous_input(name: str) -> None:
    simulated = SimulatedLinear(linear_of(64, 32), parse_quant_type(name))
    x = randn(64, 6, 4).permute(2, 1, 0)
    assert not x.is_contiguous()
    torch.testing.assert_close(simulated(x), simulated(x.contiguous()))
    row = randn(64)
    torch.testing.assert_close(simulated(row), simulated(row[None])[0])


@torch.no_grad()
def test_weight_only_leaves_the_activation_alone() -> None:
    linear = linear_of(64, 32)
    simulated = SimulatedLinear(linear, parse_quant_type("fp8_e4m3_weightonly"))
    x = randn(5, 64)
    assert torch.equal(simulated(x), functional.linear(x, simulated.weight, linear.bias))


def test_the_original_is_left_alone() -> None:
    linear = linear_of(64, 32)
    before = linear.weight.detach().clone()
    simulated = SimulatedLinear(linear, parse_quant_type("fp8_e4m3_e4m3_dynamic"))
    x = randn(3, 64)
    simulated(x)
    assert torch.equal(linear.weight, before)
    assert torch.equal(x, randn(3, 64))
    assert simulated.bias is linear.bias
    assert not simulated.weight.requires_grad


@pytest.mark.parametrize("name", FP8_DYNAMIC)
@torch.no_grad()
def test_a_zero_token_gives_the_bias_and_a_nan_spoils_its_token(name: str) -> None:
    linear, x = linear_of(64, 32), randn(4, 64)
    x[1] = 0
    y = SimulatedLinear(linear, parse_quant_type(name))(x)
    assert torch.equal(y[1], linear.bias)
    x[2, 3] = math.nan
    y = SimulatedLinear(linear, parse_quant_type(name))(x)
    assert y[2].isnan().all()
    assert y.isnan().all() == name.endswith("per_tensor")


@pytest.mark.parametrize(("guidance", "images"), [(2, 3), (1, 3), (2, 1)])
@torch.no_grad()
def test_a_batch_of_images_equals_the_images_alone(guidance: int, images: int) -> None:
    linear, quant_type = linear_of(64, 32), parse_quant_type(PER_TENSOR)
    sizes = torch.tensor([1.0, 30.0, 0.1])[:images].reshape(images, 1, 1)
    x = randn(guidance, images, 5, 64) * sizes
    layout = BatchLayout(guidance, images)
    together = SimulatedLinear(linear, quant_type, layout)(x.flatten(0, 1))
    alone = [SimulatedLinear(linear, quant_type)(x[:, image]) for image in range(images)]
    expected = torch.stack(alone, dim=1).flatten(0, 1)
    torch.testing.assert_close(together, expected, rtol=1e-5, atol=1e-3)
    if images > 1:
        mixed = SimulatedLinear(linear, quant_type)(x.flatten(0, 1))
        assert relative_error(mixed, expected) > 0.001


def test_a_batch_that_does_not_hold_the_images_is_an_error() -> None:
    layer = SimulatedLinear(linear_of(64, 32), parse_quant_type(PER_TENSOR), BatchLayout(2, 2))
    with pytest.raises(WorkError, match="batch of 6"):
        layer(randn(6, 4, 64))


def test_a_ragged_int4_weight_is_refused() -> None:
    with pytest.raises(RequestError):
        SimulatedLinear(linear_of(72, 32), parse_quant_type("int4_weightonly"))


@torch.no_grad()
def test_construction_and_forward_leave_the_random_state_alone() -> None:
    linear, x = linear_of(64, 32), randn(4, 64)
    state = torch.get_rng_state()
    for name in ("int8_dynamic", "fp8_e4m3_e4m3_dynamic"):
        SimulatedLinear(linear, parse_quant_type(name))(x)
    assert torch.equal(torch.get_rng_state(), state)


@torch.no_grad()
def test_moving_the_module_moves_the_weight() -> None:
    simulated = SimulatedLinear(linear_of(64, 32), parse_quant_type("int8_dynamic"))
    assert simulated.to(torch.bfloat16)(randn(2, 64, dtype=torch.bfloat16)).dtype is torch.bfloat16
    assert set(simulated.state_dict()) == {"weight", "bias"}
