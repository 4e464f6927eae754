"""The fp8 formats against their definition: every code decoded by hand in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pixart_tui.domain.layers.quant_types import NumberFormat
from pixart_tui.engine.formats import (
    FP8_FORMATS,
    round_to_fp8_,
    round_to_int8_,
    saturating_cast,
)

Doubles = NDArray[np.float64]
FP8 = (NumberFormat.E4M3, NumberFormat.E5M2)
SPECS = {NumberFormat.E4M3: (4, 3, 7), NumberFormat.E5M2: (5, 2, 15)}


def decode(code: int, number_format: NumberFormat) -> float:
    """What an 8-bit code stands for: sign, exponent and mantissa as OCP's fp8 defines them."""
    exponent_bits, mantissa_bits, bias = SPECS[number_format]
    sign = -1.0 if code & 0x80 else 1.0
    exponent = (code & 0x7F) >> mantissa_bits
    fraction = (code & ((1 << mantissa_bits) - 1)) / (1 << mantissa_bits)
    if number_format is NumberFormat.E4M3 and code & 0x7F == 0x7F:
        return math.nan
    if number_format is NumberFormat.E5M2 and exponent == (1 << exponent_bits) - 1:
        return math.nan if fraction else sign * math.inf
    if exponent == 0:
        return sign * fraction * math.ldexp(1.0, 1 - bias)
    return sign * (1 + fraction) * math.ldexp(1.0, exponent - bias)


def magnitudes(number_format: NumberFormat) -> Doubles:
    """The finite non-negative values in order of their codes, so that even codes are even."""
    values = [decode(code, number_format) for code in range(128)]
    return np.array([value for value in values if math.isfinite(value)])


def nearest_even(value: float, number_format: NumberFormat) -> float:
    """Round by search over all codes: the nearest, of two equally near the even code."""
    if math.isnan(value):
        return value
    grid = magnitudes(number_format)
    distances = np.abs(grid - min(abs(value), grid[-1]))
    closest = np.flatnonzero(distances == distances.min())
    best = next((code for code in closest if code % 2 == 0), closest[0])
    return math.copysign(float(grid[best]), value)


def both_ways(values: torch.Tensor, number_format: NumberFormat) -> list[torch.Tensor]:
    cast = saturating_cast(values, number_format).to(torch.float32)
    return [cast, round_to_fp8_(values.to(torch.float32).clone(), number_format)]


@pytest.mark.parametrize("number_format", FP8)
def test_torch_decodes_every_code_as_the_definition(number_format: NumberFormat) -> None:
    codes = torch.arange(256, dtype=torch.uint8)
    decoded = codes.view(FP8_FORMATS[number_format].dtype).to(torch.float64).numpy()
    expected = np.array([decode(code, number_format) for code in range(256)])
    np.testing.assert_array_equal(decoded, expected)


@pytest.mark.parametrize("number_format", FP8)
def test_the_table_of_formats(number_format: NumberFormat) -> None:
    grid = magnitudes(number_format)
    fp8 = FP8_FORMATS[number_format]
    assert fp8.largest == grid[-1]
    assert fp8.smallest_normal == 2.0 ** (1 - SPECS[number_format][2])
    assert fp8.mantissa_bits == SPECS[number_format][1]


@pytest.mark.parametrize("number_format", FP8)
def test_every_code_ties_and_neighbors_of_ties(number_format: NumberFormat) -> None:
    grid = magnitudes(number_format)
    ties = (grid[1:] + grid[:-1]) / 2
    exact = np.concatenate([grid, ties]).astype(np.float32)
    up, down = np.nextafter(exact, np.float32(np.inf)), np.nextafter(exact, np.float32(-np.inf))
    inputs = np.concatenate([exact, up, down])
    inputs = np.concatenate([inputs, -inputs])
    expected = [nearest_even(float(value), number_format) for value in inputs]
    for rounded in both_ways(torch.from_numpy(inputs), number_format):
        np.testing.assert_array_equal(rounded.double().numpy(), expected)


@pytest.mark.parametrize("number_format", FP8)
@given(value=st.floats(width=32))
def test_any_float_goes_to_the_nearest_code(number_format: NumberFormat, value: float) -> None:
    expected = nearest_even(value, number_format)
    for rounded in both_ways(torch.tensor([value]), number_format):
        np.testing.assert_array_equal(rounded.double().numpy(), [expected])


@pytest.mark.parametrize("number_format", FP8)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_inputs(number_format: NumberFormat, dtype: torch.dtype) -> None:
    codes = torch.arange(-(2**15), 2**15, 23, dtype=torch.int16)
    values = codes.view(dtype)
    expected = [nearest_even(value, number_format) for value in values.double().tolist()]
    for rounded in both_ways(values, number_format):
        np.testing.assert_array_equal(rounded.double().numpy(), expected)


@pytest.mark.parametrize("number_format", FP8)
def test_too_large_values_become_the_largest_and_nan_stays(number_format: NumberFormat) -> None:
    largest = FP8_FORMATS[number_format].largest
    values = torch.tensor([1.07 * largest, 3e38, math.inf, -math.inf, math.nan])
    for rounded in both_ways(values, number_format):
        assert rounded[:4].tolist() == [largest, largest, largest, -largest]
        assert rounded[4].isnan()


def test_rounding_works_in_place_on_strided_values() -> None:
    values = torch.linspace(-500, 500, 96).reshape(8, 12).t()
    expected = saturating_cast(values, NumberFormat.E4M3).to(torch.float32)
    rounded = round_to_fp8_(values, NumberFormat.E4M3)
    assert rounded.data_ptr() == values.data_ptr()
    assert torch.equal(values, expected)


def test_int8_rounds_to_even_and_clamps_to_the_whole_range() -> None:
    values = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 127.4, 127.5, 500.0, -128.4, -500.0])
    expected = [0.0, 2.0, 2.0, 0.0, -2.0, 127.0, 127.0, 127.0, -128.0, -128.0]
    assert round_to_int8_(values).tolist() == expected
    assert round_to_int8_(torch.tensor([math.nan])).isnan().all()
