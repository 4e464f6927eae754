"""The reference against torchao itself, where torchao runs on a CPU."""

from __future__ import annotations

import math

import pytest
import torch
import torchao
from torch import Tensor, nn
from torch._inductor import config
from torchao.quantization import Float8Tensor, PerRow, PerTensor
from torchao.quantization.quantize_.workflows import Int8Tensor

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.layers.quant_types import (
    QUANT_TYPE_NAMES,
    Granularity,
    NumberFormat,
    parse_quant_type,
)
from pixart_tui.engine.formats import FP8_FORMATS
from pixart_tui.engine.quant.real import is_quantized, quantize_weight
from pixart_tui.engine.quant.reference import quantize
from pixart_tui.engine.quant.simulated import SimulatedLinear

DTYPES = [torch.float32, torch.bfloat16, torch.float16]
RUNS_ON_A_CPU = [name for name in QUANT_TYPE_NAMES if name.startswith("int8")] + [
    name for name in QUANT_TYPE_NAMES if name.startswith("fp8") and "weightonly" in name
]
ROUNDS_INT8_IN_FLOAT32 = not torchao.__version__.startswith("0.17.")
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3}


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def skip_half_precision_int8_of_old_torchao(name: str, dtype: torch.dtype) -> None:
    if name.startswith("int8") and dtype is not torch.float32 and not ROUNDS_INT8_IN_FLOAT32:
        pytest.skip("torchao 0.17 rounds in half precision")


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).float().norm() / expected.float().norm())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("granularity", [Granularity.PER_AXIS, Granularity.PER_TENSOR])
@pytest.mark.parametrize("number_format", [NumberFormat.E4M3, NumberFormat.E5M2])
def test_fp8_codes_and_scales_are_torchaos(
    number_format: NumberFormat, granularity: Granularity, dtype: torch.dtype
) -> None:
    tensor = randn(3, 40, 64, dtype=dtype) * 3
    scope = PerRow() if granularity is Granularity.PER_AXIS else PerTensor()
    theirs = Float8Tensor.from_hp(tensor, FP8_FORMATS[number_format].dtype, scope)
    ours = quantize(tensor, number_format, granularity)
    assert torch.equal(ours.scale.flatten(), theirs.scale.flatten())
    assert torch.equal(ours.values.view(torch.uint8), theirs.qdata.view(torch.uint8))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("granularity", [Granularity.PER_AXIS, Granularity.PER_TENSOR])
def test_int8_codes_and_scales_are_torchaos(granularity: Granularity, dtype: torch.dtype) -> None:
    skip_half_precision_int8_of_old_torchao("int8", dtype)
    tensor = randn(40, 64, dtype=dtype) * 3
    scope = PerRow() if granularity is Granularity.PER_AXIS else PerTensor()
    theirs = Int8Tensor.from_hp(tensor, scope)
    ours = quantize(tensor, NumberFormat.INT8, granularity)
    assert torch.equal(ours.scale.flatten(), theirs.scale.flatten())
    assert torch.equal(ours.values, theirs.qdata)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("name", RUNS_ON_A_CPU)
@torch.no_grad()
def test_real_layers_match_simulated_ones(name: str, bias: bool, dtype: torch.dtype) -> None:
    skip_half_precision_int8_of_old_torchao(name, dtype)
    linear = nn.Linear(128, 48, bias=bias, dtype=dtype)
    simulated = SimulatedLinear(linear, parse_quant_type(name))
    inputs = [
        randn(2, 7, 128, dtype=dtype),
        randn(19, 128, dtype=dtype),
        randn(128, 6, 4, dtype=dtype).permute(2, 1, 0),
    ]
    expected = [simulated(x) for x in inputs]
    plain = [linear(x) for x in inputs]
    quantize_weight(linear, parse_quant_type(name))
    for x, y, unquantized in zip(inputs, expected, plain, strict=True):
        assert relative_error(linear(x), y) < TOLERANCE[dtype]
        if dtype is torch.float32:
            assert relative_error(unquantized, y) > 100 * TOLERANCE[dtype]


@pytest.mark.parametrize("name", [name for name in RUNS_ON_A_CPU if name.startswith("fp8")])
@torch.no_grad()
def test_an_all_zero_channel_does_not_become_nan(name: str) -> None:
    linear = nn.Linear(64, 32)
    linear.weight[5] = 0
    quantize_weight(linear, parse_quant_type(name))
    y = linear(randn(3, 64))
    torch.testing.assert_close(y[:, 5], linear.bias[5].expand(3))
    assert y.isfinite().all()


@torch.no_grad()
def test_an_all_zero_layer_does_not_become_nan() -> None:
    linear = nn.Linear(64, 32)
    linear.weight.zero_()
    quantize_weight(linear, parse_quant_type("fp8_e4m3_e4m3_weightonly_per_tensor"))
    torch.testing.assert_close(linear(randn(1, 64))[0], linear.bias)


@torch.no_grad()
def test_int8_keeps_a_nan_visible_as_the_simulation_does() -> None:
    linear, x = nn.Linear(64, 32), randn(4, 64)
    x[1, 2] = math.nan
    quantize_weight(linear, parse_quant_type("int8_dynamic"))
    y = linear(x)
    assert y[1].isnan().all()
    assert y[[0, 2, 3]].isfinite().all()


def test_what_a_cpu_cannot_run_is_an_error_with_a_way_out() -> None:
    linear = nn.Linear(64, 32, dtype=torch.bfloat16)
    with pytest.raises(WorkError) as caught:
        quantize_weight(linear, parse_quant_type("fp8_e4m3_e4m3_dynamic"))
    assert "compute capability" in caught.value.cause
    assert "simulate" in caught.value.next_step
    assert not is_quantized(linear)


@pytest.mark.parametrize("name", ["fp8_e4m3_e4m3_dynamic", "int4_weightonly"])
def test_a_dtype_that_the_kernel_refuses_is_a_wrong_request(name: str) -> None:
    with pytest.raises(RequestError) as caught:
        quantize_weight(nn.Linear(128, 32, dtype=torch.float16), parse_quant_type(name))
    assert "bfloat16 only" in caught.value.cause
    assert "float16" in caught.value.cause


def test_a_layer_that_torchao_skips_is_an_error() -> None:
    """torchao returns the weight as it was where K is no multiple of the group."""
    linear = nn.Linear(72, 32, dtype=torch.bfloat16)
    before = linear.weight.detach().clone()
    with pytest.raises(WorkError) as caught:
        quantize_weight(linear, parse_quant_type("int4_weightonly"))
    assert "skipped" in caught.value.cause
    assert torch.equal(linear.weight, before)


def test_global_flags_stay_as_they_were() -> None:
    """torchao's own default would turn on Inductor's slow tuning for the whole process."""
    with config.patch(coordinate_descent_tuning=False, epilogue_fusion=True):
        for name in RUNS_ON_A_CPU:
            quantize_weight(nn.Linear(64, 32), parse_quant_type(name))
        assert not config.coordinate_descent_tuning
    assert torch.get_float32_matmul_precision() == "highest"
