from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from pixart_tui.engine.packed_linear import pack_linears


@pytest.mark.parametrize("shape", [(3, 16), (2, 5, 16), (1, 700, 16)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_packed_linear_gives_the_same_product(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(16, 24, bias=bias)
    x = torch.randn(shape)
    expected = linear(x)
    assert pack_linears(linear) == 1
    with torch.no_grad():
        assert torch.allclose(linear(x), expected, atol=1e-6)


def test_packing_changes_no_parameter_and_survives_a_copy() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert pack_linears(model) == 2
    reference = copy.deepcopy(model)
    x = torch.randn(3, 8)
    with torch.no_grad():
        assert torch.equal(model(x), reference(x))
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_other_dtypes_are_left_alone() -> None:
    assert pack_linears(nn.Linear(8, 8, dtype=torch.bfloat16)) == 0
