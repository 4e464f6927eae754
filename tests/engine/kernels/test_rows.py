"""The row kernel against the reference numerics, on a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat
from pixart_tui.engine.quant.reference import quantize

pytestmark = pytest.mark.gpu

_FORMATS = {
    torch.float8_e4m3fn: NumberFormat.E4M3,
    torch.float8_e5m2: NumberFormat.E5M2,
    torch.int8: NumberFormat.INT8,
}
_WIDTHS = (64, 256, 1152, 4608, 1000)


def _random(*shape: int, seed: int = 0) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(seed)
    return torch.randn(shape, generator=generator, device="cuda").bfloat16()


@pytest.mark.parametrize("width", _WIDTHS)
@pytest.mark.parametrize("dtype", _FORMATS)
def test_codes_and_scales_are_those_of_the_reference(width: int, dtype: torch.dtype) -> None:
    from pixart_tui.engine.kernels.rows import Wanted, pass_rows

    x = _random(48, width) * torch.logspace(-6, 4, 48, device="cuda")[:, None].bfloat16()
    x[3] = 0
    x[5, ::7] = 448
    _, rows = pass_rows(x, Wanted(plain=True, codes=dtype), tokens=48)
    expected = quantize(x, _FORMATS[dtype], Granularity.PER_AXIS)
    assert rows.codes is not None
    assert rows.scales is not None
    assert rows.plain is x
    assert torch.equal(rows.scales, expected.scale)
    assert torch.equal(rows.codes.float(), expected.values.float())


@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.float8_e5m2])
def test_one_scale_for_the_tensor_is_that_of_the_reference(dtype: torch.dtype) -> None:
    from pixart_tui.engine.kernels.rows import Wanted, pass_rows

    x = _random(130, 1152)
    _, rows = pass_rows(x, Wanted(plain=False, codes=dtype, per_tensor=True), tokens=65)
    expected = quantize(x, _FORMATS[dtype], Granularity.PER_TENSOR)
    assert rows.codes is not None
    assert rows.scales is not None
    assert float(rows.scales) == float(expected.scale)
    assert torch.equal(rows.codes.float(), expected.values.float())


def _by_row(modulation: Tensor) -> Tensor:
    return modulation.double().repeat_interleave(32, 0)


@pytest.mark.parametrize("width", _WIDTHS)
def test_residual_norm_and_modulation(width: int) -> None:
    from pixart_tui.engine.kernels.rows import Branch, Norm, Wanted, pass_rows

    h, y, bias = _random(64, width), _random(64, width, seed=1), _random(width, seed=2)
    mod = _random(2, 6, width, seed=3)
    gate, scale, shift = mod[:, 2], mod[:, 1], mod[:, 0]
    wanted = Wanted(plain=True, codes=torch.float8_e4m3fn)
    new_h, rows = pass_rows(
        h, wanted, tokens=32, branch=Branch(y, bias, gate), norm=Norm(1e-6, scale, shift)
    )
    expected_h = h.double() + _by_row(gate) * (y.double() + bias.double())
    torch.testing.assert_close(new_h.double(), expected_h, rtol=2**-8, atol=1e-3)
    normed = functional.layer_norm(new_h.double(), (width,), eps=1e-6)
    expected = normed * (1 + _by_row(scale)) + _by_row(shift)
    assert rows.plain is not None
    assert rows.codes is not None
    torch.testing.assert_close(rows.plain.double(), expected, rtol=2**-8, atol=1e-4)
    codes = quantize(rows.plain, NumberFormat.E4M3, Granularity.PER_AXIS).values
    assert torch.equal(rows.codes.float(), codes.float())


def test_gelu_with_the_bias_before_it() -> None:
    from pixart_tui.engine.kernels.rows import Wanted, pass_rows

    x, bias = _random(40, 4608) * 3, _random(4608, seed=1)
    _, rows = pass_rows(x, Wanted(), tokens=40, gelu=True, bias=bias)
    expected = functional.gelu((x + bias).double(), approximate="tanh")
    assert rows.plain is not None
    torch.testing.assert_close(rows.plain.double(), expected, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("dtype", [torch.float8_e4m3fn, torch.int8])
def test_what_is_not_finite_stays_visible(bad: float, dtype: torch.dtype) -> None:
    from pixart_tui.engine.kernels.rows import Wanted, pass_rows

    x = _random(4, 1152)
    x[2, 7] = bad
    _, rows = pass_rows(x, Wanted(plain=False, codes=dtype), tokens=4)
    assert rows.codes is not None
    assert rows.scales is not None
    finite = (rows.codes.float() * rows.scales).isfinite().all(1)
    assert finite.tolist() == [True, True, False, True]
