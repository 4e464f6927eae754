"""Taps at self-attention: they change nothing, and what they record stands beside the layers'."""

from __future__ import annotations

from typing import Any, Final

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.engine.quant.attention import reference_fp8_attention
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.sensitivity.adjoint.attention import AttentionError
from pixart_tui.engine.sensitivity.adjoint.backward import SampleResult
from tests.engine.sensitivity.adjoint.models import (
    QUANT_TYPE,
    SAMPLES,
    WHOLE,
    attentions,
    backward,
    image_of,
    renderer,
)

_DDIM: Final[dict[str, Any]] = {"scheduler": "DDIMScheduler", "config": {"clip_sample": False}}


def _effects(result: SampleResult, quant_type: str = FP8_ATTENTION) -> Tensor:
    return torch.from_numpy(result.effects.effects[quant_type].array())


def _measure(attention: bool = True, **plan: Any) -> list[SampleResult]:
    made = renderer(**_DDIM)
    names = dict.fromkeys(attentions(made), True) if attention else None
    return backward(made, attention=names).measure(SAMPLES, WHOLE.replace(**plan))


def _heads(dtype: torch.dtype) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, 50, 40, generator=generator).to(dtype) for _ in range(3)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_local_error_is_what_fp8_changes(dtype: torch.dtype) -> None:
    q, k, v = _heads(dtype)
    y = functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    found = AttentionError(Execution.SIMULATED)(q, k, v, y)
    changed = reference_fp8_attention(*(x.transpose(1, 2) for x in (q, k, v)), scale=40**-0.5)
    exact = functional.scaled_dot_product_attention(q.double(), k.double(), v.double())
    expected = changed.double().flatten(2) - exact.transpose(1, 2).flatten(2)
    assert found.dtype is dtype
    error = float((found.double() - expected).norm() / expected.norm())
    assert error < (5e-3 if dtype is torch.bfloat16 else 1e-4)


@torch.no_grad()
def test_outside_a_pass_images_are_bit_for_bit_what_they_were() -> None:
    made = renderer(**_DDIM)
    batch = made.prepare(SAMPLES)
    before = image_of(made, batch)
    backward(made, attention=dict.fromkeys(attentions(made), True))
    assert torch.equal(image_of(made, batch), before)


def test_layers_and_images_are_what_they_are_without_attention() -> None:
    for found, expected in zip(_measure(), _measure(attention=False), strict=True):
        assert torch.equal(found.image, expected.image)
        assert torch.equal(found.joint, expected.joint)
        assert found.effects.check == expected.effects.check
        assert _effects(found, QUANT_TYPE).shape == _effects(expected, QUANT_TYPE).shape
        torch.testing.assert_close(
            _effects(found, QUANT_TYPE), _effects(expected, QUANT_TYPE), equal_nan=True
        )
        assert set(expected.effects.effects) == {QUANT_TYPE}


@pytest.mark.parametrize(
    "plan",
    [{"draws": 1}, {"keeps_hidden_states": False}, {"keeps_graphs": True}],
    ids=str,
)
def test_how_memory_is_used_changes_no_effect(plan: dict[str, Any]) -> None:
    for found, expected in zip(_measure(**plan), _measure(), strict=True):
        mine, its = _effects(found), _effects(expected)
        assert its.isfinite().all()
        torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-5 * float(its.abs().max()))


def test_samples_have_effects_of_their_own() -> None:
    made = renderer(**_DDIM)
    names = dict.fromkeys(attentions(made), True)
    together = [_effects(x) for x in backward(made, attention=names).measure(SAMPLES, WHOLE)]
    for sample, its in zip(SAMPLES, together, strict=True):
        alone = backward(renderer(**_DDIM), attention=names).measure((sample,), WHOLE)
        tolerance = 1e-5 * float(its.abs().max())
        torch.testing.assert_close(_effects(alone[0]), its, rtol=1e-5, atol=tolerance)
    assert not torch.allclose(together[0], together[1], rtol=0.1)


def test_heads_that_the_kernel_does_not_take_have_no_effects() -> None:
    made = renderer(**_DDIM)
    first, second = attentions(made)
    for result in backward(made, attention={first: False, second: True}).measure(SAMPLES, WHOLE):
        effects = _effects(result)
        assert effects[:, 0].isnan().all()
        assert effects[:, 1].isfinite().all()
        assert _effects(result, QUANT_TYPE).isfinite().all()
