"""Profiles of models with other schedulers, timesteps and guidance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import BatchChosen, LayerMeasured, ProfilePlanned
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sampling import decode
from pixart_tui.engine.sensitivity import BaselineImage, profile_model
from tests.scheduler_models import model_with_scheduler

_LAYER = "transformer_blocks.0.attn1.to_q"


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _request(model: str, **fields: Any) -> ProfileRequest:
    usual = {"prompts": ("red apple", "robot"), "seeds": (3,), "method": "exhaustive"}
    size = {"height": 64, "width": 64, "output": "unused.json", "threads": 1}
    return ProfileRequest(model=model, **{**usual, **size, **fields})


def _profile(request: ProfileRequest, **more: Any) -> list[Any]:
    """The events of a profile of one layer."""
    device = torch.device("cpu")
    pipeline = load_pipeline(request.model, dtype=torch.float32, device=device).pipeline
    layers = list_layers(pipeline, height=64, width=64, text_tokens=16)
    others = {layer.fqn for layer in layers} - {_LAYER}
    return list(profile_model(request, measured=others, floor_known=True, **more))


def _of(events: list[Any], kind: type[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


def _stock(model: str, prompt: str, **call: Any) -> Any:
    device = torch.device("cpu")
    loaded = load_pipeline(model, dtype=torch.float32, device=device)
    latents = loaded.pipeline(
        prompt,
        negative_prompt="",
        generator=torch.Generator("cpu").manual_seed(3),
        height=64,
        width=64,
        output_type="latent",
        max_sequence_length=loaded.defaults.max_sequence_length,
        clean_caption=False,
        use_resolution_binning=False,
        **call,
    ).images
    return decode(loaded.pipeline, latents)[0]


@pytest.mark.parametrize("guidance", [0.0, 1.0])
@pytest.mark.parametrize("model", ["synthetic:alpha-tiny", "synthetic:sigma-tiny"])
def test_guidance_zero_and_one_run_unguided(model: str, guidance: float) -> None:
    events = _profile(_request(model, num_inference_steps=2, guidance_scale=guidance))
    (plan,) = _of(events, ProfilePlanned)
    assert plan.conditions.guidance_scale == guidance
    (measured,) = _of(events, LayerMeasured)
    assert all(m.finite and 0 < m.ssim < 1 for m in measured.measurements)
    first = _of(events, BaselineImage)[0].image
    stock = _stock(model, "red apple", guidance_scale=guidance, num_inference_steps=2)
    torch.testing.assert_close(first, stock, atol=1e-3, rtol=1e-3)


def test_noise_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    model = model_with_scheduler(tmp_path / "model", "EulerAncestralDiscreteScheduler")
    request = _request(model, num_inference_steps=2)
    together, alone = _profile(request), _profile(request, batch_size=1)
    assert [x.images for x in (*_of(together, BatchChosen), *_of(alone, BatchChosen))] == [2, 1]
    for mine, its in zip(_of(together, BaselineImage), _of(alone, BaselineImage), strict=True):
        torch.testing.assert_close(mine.image, its.image, atol=1e-3, rtol=1e-3)
    stock = _stock(model, "robot", guidance_scale=2.0, num_inference_steps=2)
    torch.testing.assert_close(_of(alone, BaselineImage)[1].image, stock, atol=1e-3, rtol=1e-3)


def test_a_model_states_its_timesteps_and_the_request_replaces_them(tmp_path: Path) -> None:
    stated = {"timesteps": [400], "num_inference_steps": 1, "guidance_scale": 0}
    model = model_with_scheduler(tmp_path / "model", "DDPMScheduler", stated)
    events = _profile(_request(model))
    (plan,) = _of(events, ProfilePlanned)
    assert plan.conditions.timesteps == (400,)
    assert (plan.conditions.num_inference_steps, plan.conditions.calls) == (1, 1)
    image = _of(events, BaselineImage)[0].image
    stock = _stock(model, "red apple", guidance_scale=0.0, timesteps=[400])
    torch.testing.assert_close(image, stock, atol=1e-3, rtol=1e-3)
    asked = [_planned(_request(model, **x)) for x in ({"timesteps": (900, 1)}, _steps(2))]
    assert [(x.num_inference_steps, x.timesteps) for x in asked] == [(2, (900, 1)), (2, ())]


def _steps(count: int) -> dict[str, Any]:
    return {"num_inference_steps": count}


def _planned(request: ProfileRequest) -> Conditions:
    for event in profile_model(request):
        if isinstance(event, ProfilePlanned):
            return event.conditions
    raise AssertionError("no plan")


@pytest.mark.parametrize(
    ("kind", "steps", "num_calls"),
    [
        ("HeunDiscreteScheduler", 3, 5),
        ("KDPM2DiscreteScheduler", 3, 5),
        ("PNDMScheduler", 4, 13),
        ("DDIMScheduler", 3, 0),
    ],
)
def test_calls_are_counted(tmp_path: Path, kind: str, steps: int, num_calls: int) -> None:
    model = model_with_scheduler(tmp_path / "model", kind)
    conditions = _planned(_request(model, **_steps(steps)))
    assert conditions.num_calls == num_calls
    assert conditions.calls == (num_calls or steps)


@pytest.mark.parametrize(
    ("kind", "title"),
    [
        ("FlowMatchEulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler does not go"),
        ("EDMEulerScheduler", "EDMEulerScheduler does not go"),
        ("DPMSolverSDEScheduler", "needs a package that is not installed"),
    ],
)
def test_what_cannot_run_is_refused_before_work(tmp_path: Path, kind: str, title: str) -> None:
    model = model_with_scheduler(tmp_path / "model", kind)
    events: list[Any] = []
    with pytest.raises(RequestError, match=title) as caught:
        events.extend(profile_model(_request(model, **_steps(2))))
    assert caught.value.cause
    assert caught.value.next_step
    assert not _of(events, ProfilePlanned)


@pytest.mark.parametrize(
    "stated",
    [
        {"timesteps": [1, 2]},
        {"timesteps": [2.5]},
        {"timesteps": [True]},
        {"timesteps": "400"},
        {"timesteps": [400], "num_inference_steps": 4},
    ],
    ids=str,
)
def test_wrong_default_timesteps_are_told(tmp_path: Path, stated: dict[str, Any]) -> None:
    model = model_with_scheduler(tmp_path / "model", "DDPMScheduler", stated)
    with pytest.raises(RequestError, match="default timesteps cannot be used"):
        _planned(_request(model))
