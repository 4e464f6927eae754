"""The rounding errors' kernel against the reference numerics, on a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear

pytestmark = pytest.mark.gpu

_LAYOUT = BatchLayout(2, 3)


def _simulated(width: int, name: str, dtype: torch.dtype) -> SimulatedLinear:
    linear = nn.Linear(width, 64, device="cuda", dtype=dtype)
    return SimulatedLinear(linear, parse_quant_type(name), _LAYOUT)


def _values(width: int, dtype: torch.dtype) -> Tensor:
    generator = torch.Generator("cuda").manual_seed(0)
    x = torch.randn(6, 40, width, generator=generator, device="cuda")
    x *= torch.logspace(-4, 2, 40, device="cuda")[:, None]
    x[0, 3] = 0
    return x.to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [3, 256, 1152, 4608])
@pytest.mark.parametrize(
    "name",
    [
        "fp8_e4m3_e4m3_dynamic",
        "fp8_e5m2_e4m3_dynamic",
        "fp8_e4m3_e4m3_dynamic_per_tensor",
        "fp8_e5m2_e4m3_dynamic_per_tensor",
    ],
)
def test_fp8_errors_are_those_of_the_reference(name: str, width: int, dtype: torch.dtype) -> None:
    simulated, x = _simulated(width, name, dtype), _values(width, dtype)
    expected = simulated.rounded(x).float() - x.float()
    error = simulated.rounding_error(x).float()
    assert error.shape == x.shape
    assert float((error - expected).norm() / expected.norm()) < 1e-4


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [3, 256, 1152, 4608])
def test_int8_errors_differ_at_ties_alone(width: int, dtype: torch.dtype) -> None:
    """A row's largest value lies on a tie, and the last bit of its scale decides for a neighbor."""
    simulated, x = _simulated(width, "int8_dynamic", dtype), _values(width, dtype)
    expected = simulated.rounded(x).float() - x.float()
    error = simulated.rounding_error(x).float()
    step = x.float().abs().amax(-1, keepdim=True) / 127.5
    differing = (error - expected).abs() > 1e-3 * step
    # Either neighbor of a tie is half a step away.
    other = (error.abs() - expected.abs()).abs() > 1e-3 * step
    assert not bool((differing & other).any())
    if dtype is torch.bfloat16:
        assert float((error - expected).norm() / expected.norm()) < 1e-4
