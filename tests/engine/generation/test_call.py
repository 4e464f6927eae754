"""Which steps a generation and a benchmark make."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import diffusers
import pytest
import torch

from pixart_tui.domain.generation import CallOptions
from pixart_tui.domain.requests import BenchRequest, GenerateRequest
from pixart_tui.engine.bench.call import resolve_call as resolve_bench
from pixart_tui.engine.generation.call import GenerateCall, resolve_call
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline

_OWN = (999, 749, 499)


@pytest.fixture
def distilled() -> LoadedPipeline:
    """A model that states timesteps."""
    device = torch.device("cpu")
    loaded = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=device)
    loaded.pipeline.scheduler = diffusers.DDPMScheduler()
    defaults = replace(loaded.defaults, num_inference_steps=len(_OWN), timesteps=_OWN)
    return replace(loaded, defaults=defaults)


def _call(loaded: LoadedPipeline, **asked: Any) -> GenerateCall:
    request = GenerateRequest(prompts=("owl",), **asked)
    return resolve_call(request, loaded, bins=False, first=1)


def test_a_models_timesteps_are_used_until_others_are_asked_for(distilled: LoadedPipeline) -> None:
    call = _call(distilled)
    assert (call.num_inference_steps, call.options["timesteps"]) == (3, [999, 749, 499])
    given = _call(distilled, call_options=CallOptions(timesteps=(900, 500)))
    assert (given.num_inference_steps, given.options["timesteps"]) == (2, [900, 500])
    assert "timesteps" not in _call(distilled, num_inference_steps=5).options


def test_another_number_of_steps_leaves_them(distilled: LoadedPipeline) -> None:
    stepping = _call(distilled).stepping(7)
    assert stepping.num_inference_steps == 7
    assert "timesteps" not in stepping.options


def test_they_are_not_for_a_scheduler_that_takes_none(distilled: LoadedPipeline) -> None:
    distilled.pipeline.scheduler = diffusers.EulerAncestralDiscreteScheduler()
    assert "timesteps" not in _call(distilled).options


def test_a_benchmark_uses_them(distilled: LoadedPipeline) -> None:
    arguments = resolve_bench(BenchRequest(prompts=("owl",)), distilled).arguments()
    assert (arguments["timesteps"], arguments["num_inference_steps"]) == ([999, 749, 499], 3)
