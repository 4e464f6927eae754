"""What a sample's effects do not depend on, and what comes with them; in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from pixart_tui.domain.events import PassPlanned
from pixart_tui.engine.image_metrics import ssim_per_image
from pixart_tui.engine.sensitivity.adjoint import backward as module
from pixart_tui.engine.sensitivity.adjoint import taps
from pixart_tui.engine.sensitivity.adjoint.backward import SampleResult
from pixart_tui.engine.sensitivity.adjoint.functional import draw_generator, functional_gradients
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample
from tests.engine.sensitivity.adjoint.models import (
    ALPHA,
    QUANT_TYPE,
    SAMPLES,
    SIGMA,
    WHOLE,
    SmoothError,
    backward,
    image_of,
    linears,
    renderer,
    totals,
)

_PER_TENSOR: Final = "fp8_e4m3_e4m3_dynamic_per_tensor"
_DRAWS: Final = 4
# It computes in the model's float64; most others round to float32.
_DDIM: Final[Mapping[str, Any]] = {"scheduler": "DDIMScheduler", "config": {"clip_sample": False}}


def _measure(
    made: Renderer,
    samples: Sequence[Sample] = SAMPLES,
    quant_types: Sequence[str] = (QUANT_TYPE,),
    **changes: object,
) -> dict[Sample, SampleResult]:
    plan = PassPlanned.model_validate(WHOLE.model_dump() | {"draws": _DRAWS} | changes)
    measuring = backward(made, draws=_DRAWS, quant_types=quant_types)
    results = measuring.measure(tuple(samples), plan)
    return dict(zip(samples, results, strict=True))


def _effects(result: SampleResult, quant_type: str = QUANT_TYPE) -> Tensor:
    return torch.from_numpy(result.effects.effects[quant_type].array())


def _check_same(
    found: Mapping[Sample, SampleResult],
    expected: Mapping[Sample, SampleResult],
    quant_types: Sequence[str] = (QUANT_TYPE,),
    rtol: float = 1e-5,
) -> None:
    for sample, result in found.items():
        other = expected[sample]
        torch.testing.assert_close(result.image, other.image, rtol=0, atol=1e-6)
        torch.testing.assert_close(result.joint, other.joint, rtol=0, atol=1e-6)
        assert result.effects.first_calls == other.effects.first_calls
        for quant_type in quant_types:
            mine, its = _effects(result, quant_type), _effects(other, quant_type)
            scale = float(its.nan_to_num().square().mean().sqrt())
            torch.testing.assert_close(mine, its, rtol=rtol, atol=rtol * scale, equal_nan=True)


@pytest.mark.parametrize("guidance", [1.0, 4.5])
@pytest.mark.parametrize("model", [ALPHA, SIGMA])
def test_effects_do_not_depend_on_the_batch_or_its_order(model: str, guidance: float) -> None:
    types = (QUANT_TYPE, _PER_TENSOR)
    made = renderer(model, guidance_scale=guidance, **_DDIM)
    together = _measure(made, SAMPLES, types)
    _check_same(_measure(made, SAMPLES[::-1], types), together, types)
    for sample in SAMPLES:
        _check_same(_measure(made, [sample], types), together, types)
    first, second = (_effects(result) for result in together.values())
    assert not torch.allclose(first, second, rtol=0.1, equal_nan=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"draws": 1},
        {"draws": 2},
        {"draws": 3},
        {"keeps_hidden_states": False},
        {"keeps_hidden_states": False, "keeps_graphs": True},
        {"keeps_weights": False},
        {"decoder_at_once": False},
    ],
    ids=str,
)
def test_how_memory_is_used_changes_no_effect(changes: dict[str, Any]) -> None:
    made = renderer(**_DDIM)
    _check_same(_measure(made, **changes), _measure(made))


def test_noise_of_a_scheduler_belongs_to_the_sample() -> None:
    made = renderer(scheduler="EulerAncestralDiscreteScheduler")
    samples = [Sample(prompt, seed) for prompt in ("a red apple", "robot") for seed in (3, 4)]
    together = _measure(made, samples)
    for sample in samples:
        # The scheduler rounds to float32.
        _check_same(_measure(made, [sample]), together, rtol=2e-3)
    one, other = together[samples[0]], together[samples[1]]
    assert not torch.allclose(one.image, other.image, atol=1e-3)


def test_several_quant_types_in_one_pass_are_those_of_single_runs() -> None:
    types = ("int8_dynamic", QUANT_TYPE, "fp8_e5m2_weightonly")
    made = renderer(**_DDIM)
    together = _measure(made, SAMPLES, types)
    for quant_type in types:
        for sample, result in _measure(made, SAMPLES, (quant_type,)).items():
            mine, its = _effects(result, quant_type), _effects(together[sample], quant_type)
            torch.testing.assert_close(mine, its, rtol=1e-5, atol=1e-7)
    sizes = [float(_effects(together[SAMPLES[0]], x).square().mean()) for x in types]
    assert sizes[0] < sizes[1]
    assert sizes[0] < sizes[2]
    assert {x.effects.check.quant_type for x in together.values()} == {"fp8_e5m2_weightonly"}


def test_a_layer_that_cannot_be_quantized_has_no_effects_and_lets_gradients_through() -> None:
    made = renderer(**_DDIM)
    names = linears(made)
    every = backward(made).measure(SAMPLES, WHOLE)[0]
    able = [x for x in names if "ff" not in x and "attn1" not in x]
    some = backward(made, able).measure(SAMPLES, WHOLE)[0]
    mine, its = _effects(some), _effects(every)
    for at, name in enumerate(names):
        if name in able:
            torch.testing.assert_close(mine[:, at], its[:, at], rtol=1e-5, atol=1e-7)
        else:
            assert mine[:, at].isnan().all()


def test_the_image_is_that_of_the_stock_parts() -> None:
    made = renderer(**_DDIM)
    expected = image_of(made, made.prepare(SAMPLES)).float()
    found = torch.stack([result.image for result in _measure(made).values()])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)


def test_the_check_says_how_the_functionals_answer_to_all_errors_at_once() -> None:
    for sample, result in _measure(renderer(**_DDIM)).items():
        check, cpu = result.effects.check, torch.device("cpu")
        generators = [draw_generator(sample.prompt, sample.seed, k, cpu) for k in range(_DRAWS)]
        gradients = functional_gradients(result.image, generators)
        change = (gradients * (result.joint - result.image)).flatten(1).sum(1)
        assert check.functionals == pytest.approx(change.tolist(), rel=1e-3, abs=1e-6)
        loss = 1 - ssim_per_image(result.joint[None], result.image[None])[0]
        assert check.loss == pytest.approx(loss)
        assert 0 < loss < 1


@pytest.mark.parametrize("guidance", [1.0, 4.5])
def test_small_errors_of_all_layers_add_up(
    monkeypatch: pytest.MonkeyPatch, guidance: float
) -> None:
    """The joint image has the errors that the effects are of, so that nothing else is left."""
    monkeypatch.setattr(taps, "LocalError", SmoothError)
    monkeypatch.setattr(SmoothError, "scale", 1e-3)
    for result in _measure(renderer(ALPHA, guidance_scale=guidance, **_DDIM)).values():
        predicted = totals(result.effects).sum(1)
        measured = torch.tensor(result.effects.check.functionals, dtype=torch.float64)
        assert float((predicted - measured).norm() / predicted.norm()) < 0.01


def test_the_early_image_has_the_errors_of_the_early_calls_alone() -> None:
    """With 4 draws a mean square is within a few times of what it estimates."""
    for result in _measure(renderer(num_inference_steps=4, **_DDIM)).values():
        early, check = _effects(result)[:, :, :3].double().sum(2), result.effects.check
        assert check.early_loss is not None
        assert check.loss is not None
        assert 0 < check.early_loss != check.loss
        assert 0.1 < float(early.square().sum(1).mean()) / check.early_loss < 10


def test_an_image_that_is_not_finite_has_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "LocalError", SmoothError)
    monkeypatch.setattr(SmoothError, "scale", torch.nan)
    for result in _measure(renderer(**_DDIM)).values():
        assert (result.effects.check.loss, result.effects.check.functionals) == (None, ())
        assert totals(result.effects).isnan().all()
        assert result.image.isfinite().all()


def _by_call(*shares: float, layers: int = 3, samples: int = 1, draws: int = 6) -> Tensor:
    """Effects whose squares have these shares, (calls, n, draws, layers, 1)."""
    sizes = torch.tensor(shares).sqrt()[:, None, None, None, None]
    return sizes * torch.ones(len(shares), samples, draws, layers, 1)


def _follow(effects: Tensor) -> module._Reach:
    """Goes back from the last call to the first."""
    reach = module._Reach(effects.shape[1], effects.shape[2])
    for at in reversed(range(len(effects))):
        reach.see(at, effects[at:])
    return reach


def test_draws_end_behind_two_quiet_calls_in_a_row() -> None:
    loud, quiet = 1.0, 1e-4
    one = _follow(_by_call(loud, loud, quiet, quiet, loud, loud))
    assert (one.first_calls, one.active) == ([2], 2)
    assert one.by_draw == [[0, 0, 2, 2, 2, 2]]
    apart = _follow(_by_call(quiet, loud, quiet, loud, quiet, loud))
    assert (apart.first_calls, apart.active) == ([0], 6)
    assert apart.by_draw == [[0] * 6]


def test_a_batch_goes_on_until_each_sample_is_quiet_and_each_keeps_its_own_end() -> None:
    early = _by_call(1e-4, 1e-4, 1e-4, 1e-4, 1.0)
    late = _by_call(1e-4, 1e-4, 1.0, 1.0, 1.0)
    never = _by_call(1.0, 1.0, 1.0, 1.0, 1.0)
    both = _follow(torch.cat([early, late], 1))
    assert (both.first_calls, both.active) == ([2, 0], 6)
    assert _follow(early).first_calls == [2]
    with_never = _follow(torch.cat([early, never], 1))
    assert (with_never.first_calls, with_never.active) == ([2, 0], 6)


def test_layers_without_effects_do_not_count() -> None:
    effects = _by_call(1e-4, 1e-4, 1.0)
    effects[:, :, :, 1] = torch.nan
    effects[:, :, :, 2] = 0
    assert _follow(effects).first_calls == [0]
    assert _follow(_by_call(1.0, 1e-4, 1e-4, 1.0)).first_calls == [1]
    effects = torch.cat([torch.ones_like(effects[:1]), effects[:2], effects[2:]])
    assert _follow(effects).first_calls == [1]


def test_two_draws_are_always_whole() -> None:
    assert _follow(_by_call(1e-4, 1e-4, 1e-4, 1.0, draws=2)).by_draw == [[0, 0]]


@pytest.mark.parametrize(("quiet", "ends"), [(0.92, [2, 0]), (0.96, [2, 2])])
def test_draws_that_end_leave_the_others_as_they_are(
    monkeypatch: pytest.MonkeyPatch, quiet: float, ends: list[int]
) -> None:
    made = renderer(num_inference_steps=6, **_DDIM)
    whole = _measure(made)
    assert {x.effects.first_calls for x in whole.values()} == {(0,) * _DRAWS}
    # Random weights have no quiet calls: those are taken that are less loud than others.
    monkeypatch.setattr(module, "_QUIET", quiet)
    short = _measure(made)
    assert [x.effects.first_calls[-1] for x in short.values()] == ends
    for sample, result in short.items():
        first = result.effects.first_calls[-1]
        assert result.effects.first_calls == (0, 0, first, first)
        mine, its = _effects(result), _effects(whole[sample])
        torch.testing.assert_close(mine[:2], its[:2], rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(mine[2:, :, first:], its[2:, :, first:], rtol=1e-5, atol=1e-7)
        assert (mine[2:, :, :first] == 0).all()
        _check_same(_measure(made, [sample]), short)
