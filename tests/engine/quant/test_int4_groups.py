from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torchao.quantization import MappingType
from torchao.quantization import quant_primitives as torchao

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.quant.int4 import dequantize_groups, quantize_groups


def randn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


def test_fifteen_even_steps_from_the_smallest_to_the_largest_weight() -> None:
    weight = randn(6, 64)
    groups = weight.double().numpy().reshape(6, 2, 32)
    low, high = groups.min(-1, keepdims=True), groups.max(-1, keepdims=True)
    codes = np.rint((groups - low) / (high - low) * 15)
    actual, scale, zero_point = quantize_groups(weight, 32)
    np.testing.assert_array_equal(actual.numpy().reshape(6, 2, 32), codes)
    restored = dequantize_groups(actual, scale, zero_point).double().numpy()
    np.testing.assert_allclose(
        restored.reshape(6, 2, 32), low + codes * (high - low) / 15, atol=1e-6
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_torchao_computes_the_same(dtype: torch.dtype) -> None:
    weight, block = randn(8, 256, dtype=dtype), (1, 128)
    scale, zero = torchao._choose_qparams_affine_tinygemm(
        weight, MappingType.ASYMMETRIC, block, torch.int32, 0, 15
    )
    codes = torchao._quantize_affine_tinygemm(weight, block, scale, zero, torch.int32, 0, 15)
    restored = torchao._dequantize_affine_tinygemm(
        codes, block, scale, zero, torch.int32, 0, 15, output_dtype=dtype
    )
    actual = quantize_groups(weight, 128)
    assert torch.equal(actual[0].int(), codes)
    assert torch.equal(dequantize_groups(*actual), restored)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_small_weights_keep_their_codes(dtype: torch.dtype) -> None:
    weight = randn(4, 64, dtype=dtype)
    small = quantize_groups(weight * 2.0**-20, 32)
    assert torch.equal(small[0], quantize_groups(weight, 32)[0])
    assert set(small[0].flatten().tolist()) == set(range(16))


@pytest.mark.parametrize("constant", [0.0, 0.3])
def test_a_constant_group_comes_back_exactly(constant: float) -> None:
    weight = torch.full((2, 32), constant)
    assert torch.equal(dequantize_groups(*quantize_groups(weight, 16)), weight)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_spoils_its_group_only(bad: float) -> None:
    weight = randn(2, 32)
    weight[0, 3] = bad
    restored = dequantize_groups(*quantize_groups(weight, 16))
    assert restored[0, :16].isnan().all()
    assert restored[0, 16:].isfinite().all()
    assert restored[1].isfinite().all()


def test_a_ragged_group_is_refused() -> None:
    with pytest.raises(RequestError, match="int4"):
        quantize_groups(randn(4, 40), 16)
