"""The CUDA kernels against the simulation, and against the rules that exclude layers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.quant_types import (
    QUANT_TYPE_NAMES,
    NumberFormat,
    QuantType,
    parse_quant_type,
)
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.execution import Execution, plan_execution
from pixart_tui.engine.quant.real import quantize_weight
from pixart_tui.engine.quant.reference import quantize
from pixart_tui.engine.quant.simulated import SimulatedLinear

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
SURE_ON_ADA_AND_NEWER = [
    "fp8_e4m3_e4m3_dynamic",
    "fp8_e4m3_e4m3_dynamic_per_tensor",
    "int8_dynamic",
    "int8_weightonly",
    "int4_weightonly",
    *(name for name in QUANT_TYPE_NAMES if name.startswith("fp8") and "weightonly" in name),
]
FLOAT32_TYPES = [
    ("int8_dynamic", 1e-4),
    ("int8_weightonly", 1e-4),
    ("fp8_e4m3_weightonly", 1e-4),
    ("fp8_e4m3_e4m3_dynamic_per_tensor", 4e-3),
]


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(CUDA, dtype)


def linear_of(
    in_features: int, out_features: int, *, bias: bool = True, dtype: torch.dtype = torch.bfloat16
) -> nn.Linear:
    linear = nn.Linear(in_features, out_features, bias=bias, device=CUDA, dtype=dtype)
    linear.weight.data = randn(out_features, in_features, seed=1, dtype=dtype)
    return linear


def relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).float().norm() / expected.float().norm())


def tolerance_of(quant_type: QuantType) -> float:
    """For bfloat16 layers; torchao 0.17 also computes the int8 codes in bfloat16."""
    return 0.02 if quant_type.weight is NumberFormat.INT8 else 0.01


def runnable(name: str) -> QuantType:
    quant_type = parse_quant_type(name)
    plan = plan_execution(quant_type, CUDA)
    if plan.execution is Execution.SIMULATED:
        pytest.skip(plan.reason)
    return quant_type


@pytest.mark.parametrize("name", SURE_ON_ADA_AND_NEWER)
def test_what_surely_runs_is_planned_as_real(name: str) -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("an older GPU")
    plan = plan_execution(parse_quant_type(name), CUDA)
    assert plan.execution is Execution.REAL, plan.reason


@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
@pytest.mark.parametrize(
    ("rows", "in_features", "out_features"),
    [((2, 64), 256, 512), ((19,), 128, 16), ((2, 33), 1152, 32), ((3, 7), 4608, 1152)],
)
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_real_layers_match_simulated_ones(
    name: str, rows: tuple[int, ...], in_features: int, out_features: int, bias: bool
) -> None:
    quant_type, linear = runnable(name), linear_of(in_features, out_features, bias=bias)
    x = randn(*rows, in_features)
    expected = SimulatedLinear(linear, quant_type)(x)
    quantize_weight(linear, quant_type)
    actual = linear(x)
    assert (actual.shape, actual.dtype) == (expected.shape, x.dtype)
    assert relative_error(actual, expected) < tolerance_of(quant_type)


@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
@torch.no_grad()
def test_strided_input(name: str) -> None:
    quant_type, linear = runnable(name), linear_of(256, 64)
    x = randn(256, 40, 2).permute(2, 1, 0)
    expected = SimulatedLinear(linear, quant_type)(x)
    quantize_weight(linear, quant_type)
    assert relative_error(linear(x), expected) < tolerance_of(quant_type)


@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
@torch.no_grad()
def test_weights_of_the_size_that_models_have(name: str) -> None:
    quant_type, linear = runnable(name), linear_of(1152, 64, bias=False)
    linear.weight.mul_(0.02)
    x = randn(24, 1152)
    expected = SimulatedLinear(linear, quant_type)(x)
    quantize_weight(linear, quant_type)
    assert relative_error(linear(x), expected) < tolerance_of(quant_type)


@pytest.mark.parametrize(("name", "tolerance"), FLOAT32_TYPES)
@torch.no_grad()
def test_in_float32_only_accumulation_differs(name: str, tolerance: float) -> None:
    """Closer than the quantization error itself, so that it tells quantized from plain."""
    quant_type, linear = runnable(name), linear_of(512, 256, dtype=torch.float32)
    x = randn(2, 64, 512, dtype=torch.float32)
    plain, expected = linear(x), SimulatedLinear(linear, quant_type)(x)
    quantize_weight(linear, quant_type)
    assert relative_error(linear(x), expected) < tolerance
    assert relative_error(plain, expected) > 1.5 * tolerance


@pytest.mark.parametrize("name", [name for name in QUANT_TYPE_NAMES if name.startswith("fp8")])
@torch.no_grad()
def test_zero_tokens_and_zero_channels_stay_finite(name: str) -> None:
    quant_type, linear, x = runnable(name), linear_of(64, 32), randn(24, 64)
    linear.weight[3], x[5] = 0, 0
    quantize_weight(linear, quant_type)
    y = linear(x)
    assert y.isfinite().all()
    assert torch.equal(y[5], linear.bias)
    assert torch.equal(y[:, 3], linear.bias[3].expand(24))


@pytest.mark.parametrize("name", ["fp8_e4m3_e4m3_dynamic", "int8_dynamic"])
@torch.no_grad()
def test_a_nan_spoils_its_token_and_stays_visible(name: str) -> None:
    quant_type, linear, x = runnable(name), linear_of(64, 32), randn(24, 64)
    x[5, 7] = math.nan
    quantize_weight(linear, quant_type)
    y = linear(x)
    assert y[5].isnan().all()
    assert y[:5].isfinite().all()


@pytest.mark.parametrize("number_format", ["e4m3", "e5m2", "int8"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_codes_do_not_depend_on_the_device(number_format: str, dtype: torch.dtype) -> None:
    name = {"int8": "int8_weightonly"}.get(number_format, f"fp8_{number_format}_weightonly")
    quant_type, x = parse_quant_type(name), randn(64, 256, dtype=dtype)
    gpu = quantize(x, quant_type.weight, quant_type.granularity)
    cpu = quantize(x.cpu(), quant_type.weight, quant_type.granularity)
    # A scalar divisor is a multiplication by its inverse on CUDA: the last bit may differ.
    torch.testing.assert_close(gpu.scale.cpu(), cpu.scale, rtol=2**-7, atol=0)
    assert (gpu.values.cpu().float() != cpu.values.float()).float().mean() < 0.05


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("fp8_e4m3_e4m3_dynamic", (72, 64)),
        ("fp8_e4m3_e4m3_dynamic_per_tensor", (64, 40)),
        ("int8_dynamic", (64, 36)),
        ("int4_weightonly", (72, 64)),
    ],
)
def test_a_shape_that_the_kernel_refuses_is_never_skipped(
    name: str, shape: tuple[int, int]
) -> None:
    model = nn.Sequential(linear_of(*shape))
    with pytest.raises(RequestError):
        quantize_layers(model, {"0": parse_quant_type(name)}, execution=Execution.REAL)


@pytest.mark.parametrize("shape", [(72, 64), (64, 40)])
def test_scaled_mm_really_refuses_what_the_rules_exclude(shape: tuple[int, int]) -> None:
    if torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("an older GPU")
    a = randn(32, shape[0]).to(torch.float8_e4m3fn)
    b = randn(shape[1], shape[0]).to(torch.float8_e4m3fn)
    one = torch.ones((), device=CUDA)
    with pytest.raises((RuntimeError, ValueError)):
        torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


def test_two_e5m2_matrices_really_do_not_multiply() -> None:
    a, one = randn(32, 64).to(torch.float8_e5m2), torch.ones((), device=CUDA)
    with pytest.raises((RuntimeError, ValueError)):
        torch._scaled_mm(a, a.t(), scale_a=one, scale_b=one, out_dtype=torch.bfloat16)


@pytest.mark.parametrize(
    ("rows", "in_features", "out_features"), [(16, 64, 64), (32, 60, 64), (32, 64, 60)]
)
def test_int_mm_really_refuses_what_the_rules_exclude(
    rows: int, in_features: int, out_features: int
) -> None:
    a = torch.ones(rows, in_features, dtype=torch.int8, device=CUDA)
    b = torch.ones(out_features, in_features, dtype=torch.int8, device=CUDA)
    with pytest.raises(RuntimeError):
        torch._int_mm(a, b.t())


def test_int_mm_takes_17_rows() -> None:
    a = torch.ones(17, 64, dtype=torch.int8, device=CUDA)
    b = torch.ones(8, 64, dtype=torch.int8, device=CUDA)
    assert (torch._int_mm(a, b.t()) == 64).all()
