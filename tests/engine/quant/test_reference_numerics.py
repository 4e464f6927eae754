"""Scales, round trips and the awkward values: zeros, NaN, infinities, subnormals."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat
from pixart_tui.engine.formats import FP8_FORMATS
from pixart_tui.engine.quant.reference import (
    Quantized,
    dequantize,
    quantize,
    reduced_dims,
    round_trip,
)

E4M3, E5M2, INT8 = NumberFormat.E4M3, NumberFormat.E5M2, NumberFormat.INT8
PER_AXIS, PER_TENSOR = Granularity.PER_AXIS, Granularity.PER_TENSOR
FORMATS, FP8 = (E4M3, E5M2, INT8), (E4M3, E5M2)
GRANULARITIES = (PER_AXIS, PER_TENSOR)
DTYPES = (torch.float32, torch.bfloat16, torch.float16)

moderate = st.floats(-1e4, 1e4, width=32).filter(lambda value: value == 0 or abs(value) > 1e-4)
rows = st.integers(1, 6).flatmap(
    lambda width: st.lists(
        st.lists(moderate, min_size=width, max_size=width), min_size=1, max_size=4
    )
)


def randn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def there_and_back(
    tensor: Tensor, number_format: NumberFormat, granularity: Granularity = PER_AXIS
) -> Tensor:
    return dequantize(quantize(tensor, number_format, granularity))


def amax64(tensor: Tensor, granularity: Granularity) -> np.ndarray:
    axis = -1 if granularity is PER_AXIS else None
    return np.asarray(np.abs(tensor.double().numpy()).max(axis=axis, keepdims=True))


@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize(("number_format", "span"), [(E4M3, 448), (E5M2, 57344), (INT8, 127.5)])
def test_the_scale_is_amax_over_the_span(
    number_format: NumberFormat, span: float, granularity: Granularity
) -> None:
    tensor = randn(5, 7, 48) * 3
    scale = quantize(tensor, number_format, granularity).scale
    assert scale.dtype is torch.float32
    np.testing.assert_allclose(scale.numpy(), amax64(tensor, granularity) / span, rtol=2e-7)


@pytest.mark.parametrize("number_format", FORMATS)
def test_per_axis_treats_each_row_alone(number_format: NumberFormat) -> None:
    tensor = randn(2, 3, 32) * torch.tensor([1.0, 1e3, 1e-3]).reshape(3, 1)
    whole = there_and_back(tensor, number_format)
    for row, expected in zip(tensor.reshape(6, 32), whole.reshape(6, 32), strict=True):
        assert torch.equal(there_and_back(row, number_format), expected)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("granularity", GRANULARITIES)
@pytest.mark.parametrize("number_format", FORMATS)
def test_the_fast_round_trip_is_quantize_then_dequantize(
    number_format: NumberFormat, granularity: Granularity, dtype: torch.dtype
) -> None:
    tensor = randn(3, 5, 64, dtype=dtype)
    tensor[0, 0] = 0
    tensor[1, 1, 1], tensor[2, 2, 2] = math.nan, math.inf
    if granularity is PER_TENSOR:
        tensor = tensor.nan_to_num(0.5, posinf=0.25)
    before = tensor.clone()
    fast = round_trip(tensor, number_format, reduced_dims(tensor, granularity))
    slow = there_and_back(tensor, number_format, granularity)
    torch.testing.assert_close(fast, slow, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(tensor, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("number_format", FP8)
@given(values=rows)
def test_fp8_error_is_half_a_grid_step(
    number_format: NumberFormat, values: list[list[float]]
) -> None:
    tensor = torch.tensor(values)
    fp8 = FP8_FORMATS[number_format]
    scale = np.maximum(amax64(tensor, PER_AXIS), 1e-12) / fp8.largest
    exact = tensor.double().numpy()
    step = np.maximum(np.abs(exact), scale * fp8.smallest_normal) * 2.0 ** -(fp8.mantissa_bits + 1)
    error = np.abs(there_and_back(tensor, number_format).double().numpy() - exact)
    assert (error <= step * (1 + 1e-5)).all()


@given(values=rows)
def test_int8_error_is_half_a_step(values: list[list[float]]) -> None:
    tensor = torch.tensor(values)
    step = np.maximum(amax64(tensor, PER_AXIS) / 127.5, 2.0**-23)
    error = np.abs((there_and_back(tensor, INT8) - tensor).double().numpy())
    assert (error <= step / 2 * (1 + 1e-4)).all()


@pytest.mark.parametrize("number_format", FP8)
@given(values=rows)
def test_a_second_fp8_round_trip_changes_no_code(
    number_format: NumberFormat, values: list[list[float]]
) -> None:
    once = quantize(torch.tensor(values), number_format, PER_AXIS)
    twice = quantize(dequantize(once), number_format, PER_AXIS)
    assert torch.equal(once.values.float(), twice.values.float())
    torch.testing.assert_close(dequantize(twice), dequantize(once), rtol=3e-7, atol=0)


@pytest.mark.parametrize("number_format", FP8)
@given(values=rows)
def test_fp8_is_odd(number_format: NumberFormat, values: list[list[float]]) -> None:
    tensor = torch.tensor(values)
    assert torch.equal(
        there_and_back(-tensor, number_format), -there_and_back(tensor, number_format)
    )


def test_int8_may_reach_one_step_further_down_than_up() -> None:
    amax = torch.linspace(1, 2, 64).reshape(-1, 1)
    assert set(quantize(amax, INT8, PER_AXIS).values.flatten().tolist()) == {127}
    assert set(quantize(-amax, INT8, PER_AXIS).values.flatten().tolist()) == {-127, -128}


@pytest.mark.parametrize("number_format", FORMATS)
@given(values=rows, exponent=st.integers(-6, 6))
def test_powers_of_two_pass_through(
    number_format: NumberFormat, values: list[list[float]], exponent: int
) -> None:
    tensor, factor = torch.tensor(values), 2.0**exponent
    if number_format is INT8:  # below it, the floor of the scale takes over
        tensor = tensor + tensor.sign()
    scaled = there_and_back(tensor * factor, number_format)
    assert torch.equal(scaled, there_and_back(tensor, number_format) * factor)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number_format", FORMATS)
def test_zero_rows_are_zero_and_leave_the_others_alone(
    number_format: NumberFormat, dtype: torch.dtype
) -> None:
    tensor = randn(4, 32, dtype=dtype)
    alone = there_and_back(tensor[1:2], number_format)
    tensor[0], tensor[2] = 0.0, -0.0
    quantized = quantize(tensor, number_format, PER_AXIS)
    assert (quantized.scale > 0).all()
    restored = dequantize(quantized)
    assert (restored[[0, 2]] == 0).all()
    assert torch.equal(restored[1:2], alone)


@pytest.mark.parametrize("number_format", FORMATS)
def test_an_all_zero_tensor_is_zero(number_format: NumberFormat) -> None:
    zeros = torch.zeros(3, 4)
    assert torch.equal(there_and_back(zeros, number_format, PER_TENSOR), zeros)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("number_format", FORMATS)
def test_what_is_not_finite_spoils_all_that_shares_its_scale(
    number_format: NumberFormat, bad: float
) -> None:
    tensor = randn(3, 16)
    tensor[1, 5] = bad
    per_axis = there_and_back(tensor, number_format)
    assert per_axis[1].isnan().all()
    assert per_axis[[0, 2]].isfinite().all()
    assert there_and_back(tensor, number_format, PER_TENSOR).isnan().all()


@pytest.mark.parametrize("number_format", FORMATS)
def test_huge_values_stay_finite(number_format: NumberFormat) -> None:
    huge = torch.tensor([[3e38, -3e38, 1.0]])
    expected = torch.tensor([[3e38, -3e38, 0.0]])
    torch.testing.assert_close(there_and_back(huge, number_format), expected, rtol=0.01, atol=0)


@pytest.mark.parametrize("number_format", FP8)
def test_tiny_rows_lose_precision_and_nothing_else(number_format: NumberFormat) -> None:
    tiny = torch.tensor([[1e-40, -1e-41], [1e-20, 1e-30]])
    restored = there_and_back(tiny, number_format)
    assert restored.isfinite().all()
    assert (restored.abs() <= 1e-15).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("number_format", FORMATS)
def test_half_precision_comes_back_in_its_dtype_and_close_to_float32(
    number_format: NumberFormat, dtype: torch.dtype
) -> None:
    tensor = randn(8, 64, dtype=dtype)
    restored = there_and_back(tensor, number_format)
    assert restored.dtype is dtype
    error = (restored.float() - tensor.float()).norm() / tensor.float().norm()
    reference = (there_and_back(tensor.float(), number_format) - tensor.float()).norm()
    assert error <= 1.3 * reference / tensor.float().norm()


def test_codes_have_the_dtypes_of_the_kernels() -> None:
    dtypes = [quantize(randn(2, 16), fmt, PER_AXIS).values.dtype for fmt in FORMATS]
    assert dtypes == [torch.float8_e4m3fn, torch.float8_e5m2, torch.int8]


def test_int4_goes_with_groups_only() -> None:
    with pytest.raises(ValueError, match="per group"):
        quantize(randn(2, 16), E4M3, Granularity.PER_GROUP, 8)
    with pytest.raises(ValueError, match="per group"):
        quantize(randn(2, 16), NumberFormat.INT4, Granularity.PER_GROUP)


def test_a_quantized_tensor_knows_its_dtype() -> None:
    quantized = quantize(randn(2, 16, dtype=torch.bfloat16), INT8, PER_AXIS)
    assert isinstance(quantized, Quantized)
    assert dequantize(quantized).dtype is torch.bfloat16
