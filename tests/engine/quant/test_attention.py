"""The reference of fp8 attention: against exact attention, and against a literal slow loop."""

from __future__ import annotations

import math
from typing import Final

import pytest
import torch
from torch import Tensor

from pixart_tui.engine.quant import attention as module
from pixart_tui.engine.quant.attention import TILE, reference_fp8_attention

_E4M3: Final = torch.float8_e4m3fn


def _qkv(tokens: int, *, keys: int = 0, width: int = 72, gain: float = 1.0) -> list[Tensor]:
    """Queries, keys and values (2, tokens, 3, width); larger scores for the first keys."""
    generator = torch.Generator().manual_seed(tokens)
    made = [
        torch.randn(2, count, 3, width, generator=generator)
        for count in (tokens, keys or tokens, keys or tokens)
    ]
    made[0] *= gain
    made[1][:, : (keys or tokens) // 2] *= 1.5
    return made


def _rounded(x: Tensor) -> Tensor:
    return x.float().clamp(-448, 448).to(_E4M3).float()


def _exact(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    q, k, v = (x.double().transpose(1, 2) for x in (q, k, v))
    return (torch.softmax(q @ k.mT * scale, -1) @ v).transpose(1, 2)


def _literal(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """One row of one head at a time, tile by tile from the last, as the kernel's loop says."""
    q, k, v = _rounded(q), _rounded(k), _rounded(v)
    factor = scale * math.log2(math.e)
    out = torch.empty(q.shape)
    for b, m, h in torch.cartesian_prod(*(torch.arange(n) for n in q.shape[:3])).tolist():
        keys, values = k[b, :, h], v[b, :, h]
        largest, total, sums = torch.tensor(-math.inf), torch.zeros(()), torch.zeros(q.shape[3])
        for start in reversed(range(0, len(keys), TILE)):
            s = keys[start : start + TILE] @ q[b, m, h]
            before, largest = largest, torch.maximum(largest, s.max())
            p = torch.exp2(s * factor - (largest * factor - 8.0))
            shrink = torch.exp2(before * factor - largest * factor)
            total = total * shrink + p.sum()
            sums = sums * shrink + p.clamp(-448, 448).to(_E4M3).float() @ values[start:][:TILE]
        out[b, m, h] = sums / total
    return out


def _relative(found: Tensor, expected: Tensor) -> float:
    return float((found - expected).norm() / expected.norm())


@pytest.mark.parametrize("gain", [1.0, 8.0])
@pytest.mark.parametrize("tokens", [1, 5, TILE, TILE + 1, 300])
def test_it_is_what_a_literal_loop_gives(tokens: int, gain: float) -> None:
    q, k, v = _qkv(min(tokens, 20), keys=tokens, gain=gain)
    found = reference_fp8_attention(q, k, v, scale=72**-0.5)
    # A probability between two codes may round the other way after a sum in another order.
    assert _relative(found, _literal(q, k, v, 72**-0.5)) < 2e-3
    assert found.dtype is torch.float32
    assert found.shape == q.shape


@pytest.mark.parametrize("width", [32, 72, 128])
@pytest.mark.parametrize("tokens", [64, 200, 1000])
def test_it_is_exact_attention_but_for_the_rounding_of_e4m3(tokens: int, width: int) -> None:
    q, k, v = _qkv(tokens, width=width)
    scale = width**-0.5
    found = reference_fp8_attention(q, k, v, scale=scale)
    # Of rounded tensors only the probabilities are left to round: 2^-4 each at most, averaged.
    of_rounded = _exact(_rounded(q), _rounded(k), _rounded(v), scale)
    assert 1e-3 < _relative(found, of_rounded) < 0.03
    # Three tensors of numbers that are off by 2^-4 at most, 0.026 in the root mean square.
    assert 0.01 < _relative(found, _exact(q, k, v, scale)) < 0.1


def test_one_token_attends_to_itself() -> None:
    q, k, v = _qkv(1)
    torch.testing.assert_close(reference_fp8_attention(q, k, v, scale=1.0), _rounded(v))


def test_what_is_beyond_448_saturates() -> None:
    q, k, v = _qkv(150)
    large = [x * 400 for x in (q, k, v)]
    clipped = [x.clamp(-448, 448) for x in large]
    found, expected = (reference_fp8_attention(*x, scale=1e-5) for x in (large, clipped))
    assert torch.equal(found, expected)
    v[0, 0] = math.inf
    assert reference_fp8_attention(q, k, v, scale=72**-0.5).isfinite().all()


def test_nan_stays_nan_where_it_counts() -> None:
    q, k, v = _qkv(150)
    clean = reference_fp8_attention(q, k, v, scale=72**-0.5)
    q[0, 3, 1, 5] = v[1, 140, 2, 7] = math.nan
    found = reference_fp8_attention(q, k, v, scale=72**-0.5)
    expected = torch.zeros(found.shape, dtype=torch.bool)
    expected[0, 3, 1], expected[1, :, 2, 7] = True, True
    assert torch.equal(found.isnan(), expected)
    assert torch.equal(found[~expected], clean[~expected])
    k[0, 100, 0] = math.nan
    assert reference_fp8_attention(q, k, v, scale=72**-0.5)[0, :, 0].isnan().all()


def test_rows_at_once_change_nothing_but_the_last_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = _qkv(200)
    whole = reference_fp8_attention(q, k, v, scale=72**-0.5)
    monkeypatch.setattr(module, "_AT_ONCE", 6 * 200 * 7)
    assert _relative(reference_fp8_attention(q, k, v, scale=72**-0.5), whole) < 1e-3


def test_inputs_are_left_as_they_are_in_any_dtype() -> None:
    q, k, v = _qkv(40)
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        given = [x.to(dtype) for x in (q, k, v)]
        copies = [x.clone() for x in given]
        reference_fp8_attention(*given, scale=0.1)
        assert all(torch.equal(x, y) for x, y in zip(given, copies, strict=True))
