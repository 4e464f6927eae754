from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.memory.int8_linear import Int8Linear, quantize_linears


def _relative_error(actual: Tensor, expected: Tensor) -> float:
    return float((actual - expected).float().norm() / expected.float().norm())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_it_is_the_linear_of_the_unpacked_weight(dtype: torch.dtype, bias: bool) -> None:
    linear = nn.Linear(96, 40, bias=bias).to(dtype)
    packed = Int8Linear(linear)
    unpacked = packed.weight.float() * packed.scale.float()
    # Half a step of rounding, and half of bfloat16's own where the scale was rounded to it.
    assert ((unpacked - linear.weight).abs() <= 0.76 * packed.scale.float()).all()
    x = torch.randn(3, 5, 96, dtype=dtype)
    y = packed(x)
    assert (y.shape, y.dtype) == ((3, 5, 40), dtype)
    assert 0 < _relative_error(y, linear(x)) < 0.02


@torch.no_grad()
def test_a_channel_of_zeros_stays_zero() -> None:
    linear = nn.Linear(8, 4, bias=False)
    linear.weight[2] = 0
    assert torch.equal(Int8Linear(linear)(torch.randn(3, 8))[:, 2], torch.zeros(3))


@torch.no_grad()
def test_codes_are_exact_where_the_weight_is_a_multiple_of_its_scale() -> None:
    linear = nn.Linear(255, 2, bias=False)
    codes = torch.arange(-127, 128).repeat(2, 1)
    linear.weight.copy_(codes * torch.tensor([[0.5], [4.0]]))
    assert torch.equal(Int8Linear(linear).weight.int(), codes.int())


@pytest.mark.parametrize("model", ["synthetic:alpha-tiny", "pixart-emoji"])
@torch.no_grad()
def test_a_text_encoder_holds_int8_and_encodes_nearly_the_same(model: str) -> None:
    """Gated and plain feed-forward: both look at the dtype of a weight."""
    loaded = load_pipeline(model, dtype=torch.float32, device=torch.device("cpu"))
    encoder = loaded.pipeline.text_encoder
    ids, mask = torch.arange(24).view(2, 12), torch.ones(2, 12, dtype=torch.long)
    expected = encoder(ids, attention_mask=mask)[0]
    quantize_linears(encoder.encoder.block)
    assert not [m for m in encoder.encoder.block.modules() if isinstance(m, nn.Linear)]
    assert encoder.dtype == torch.float32
    assert 1e-5 < _relative_error(encoder(ids, attention_mask=mask)[0], expected) < 0.05


@pytest.mark.gpu
@torch.no_grad()
def test_t5_xxl_in_8_bits_is_half_as_large() -> None:
    """Linear by linear: with random weights the whole encoder amplifies any rounding to noise."""
    loaded = load_pipeline("synthetic:alpha", dtype=torch.bfloat16, device=torch.device("cuda"))
    encoder = loaded.pipeline.text_encoder.encoder
    linears = {n: m for n, m in encoder.block[3].named_modules() if isinstance(m, nn.Linear)}
    inputs = {name: torch.randn(240, x.in_features).to(x.weight) for name, x in linears.items()}
    expected = {name: linear(inputs[name]) for name, linear in linears.items()}
    del linears
    before_bytes = torch.cuda.memory_allocated()
    quantize_linears(encoder.block)
    saved_gib = (before_bytes - torch.cuda.memory_allocated()) / 2**30
    assert 4.2 < saved_gib < 4.4
    assert len(expected) == 7
    for name, wanted in expected.items():
        packed = encoder.block[3].get_submodule(name)
        assert 0 < _relative_error(packed(inputs[name]), wanted) < 0.02


@pytest.mark.gpu
@torch.no_grad()
def test_a_trained_text_encoder_on_the_gpu_encodes_nearly_the_same() -> None:
    cuda = torch.device("cuda")
    encoder = load_pipeline("pixart-emoji", dtype=torch.bfloat16, device=cuda).pipeline.text_encoder
    ids = torch.arange(24, device=cuda).view(2, 12)
    expected = encoder(ids, attention_mask=torch.ones_like(ids))[0]
    quantize_linears(encoder.encoder.block)
    actual = encoder(ids, attention_mask=torch.ones_like(ids))[0]
    assert 1e-5 < _relative_error(actual, expected) < 0.05
