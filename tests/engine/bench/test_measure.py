from __future__ import annotations

import numpy as np
import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.engine.bench.call import BenchCall, prompts_of, resolve_call
from pixart_tui.engine.bench.measure import (
    Figure,
    FirstCall,
    Load,
    NextCall,
    Phase,
    Picture,
    Task,
    TimedCall,
    measure,
)
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline

_CPU = torch.device("cpu")
_PROMPTS = ("robot", "owl")


def _call(tiny: LoadedPipeline, steps: int = 3) -> BenchCall:
    return resolve_call(BenchRequest(model=tiny.name, num_inference_steps=steps), tiny)


def _measure(tiny: LoadedPipeline, task: Task, steps: int = 3) -> list[Figure]:
    figures = measure(
        tiny.pipeline, _call(tiny, steps), task, prompts=_PROMPTS, repeats=2, device=_CPU
    )
    return list(figures)


def _prompts_asked(tiny: LoadedPipeline, task: Task, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []
    encode = tiny.pipeline.encode_prompt

    def listen(prompt: str, *args: object, **kwargs: object) -> object:
        asked.append(prompt)
        return encode(prompt, *args, **kwargs)

    monkeypatch.setattr(tiny.pipeline, "encode_prompt", listen)
    _measure(tiny, task)
    return asked


def test_the_request_goes_before_the_models_defaults(tiny: LoadedPipeline) -> None:
    call = resolve_call(BenchRequest(model=tiny.name, prompts=("x", "y"), guidance_scale=0), tiny)
    assert (call.prompt, call.guidance_scale) == ("x", 0)
    assert call.num_inference_steps == tiny.defaults.num_inference_steps
    assert (call.height, call.width) == (tiny.defaults.height, tiny.defaults.width)


def test_figures_come_in_the_order_of_the_work(tiny: LoadedPipeline) -> None:
    figures = _measure(tiny, "figures")
    kinds = [type(figure) for figure in figures]
    assert kinds == [Phase, FirstCall, Phase, TimedCall, Phase, TimedCall, Load, Picture]
    picture = figures[-1]
    assert isinstance(picture, Picture)
    assert picture.pixels is not None
    assert picture.pixels.shape == (64, 64, 3)
    for timed in figures:
        if isinstance(timed, TimedCall):
            assert timed.iterations_per_s is not None
            assert 2 / timed.iterations_per_s < timed.e2e_s
            assert timed.transformer_s is not None
            assert 0 < 3 * timed.transformer_s < timed.e2e_s


def test_a_cold_start_is_the_first_call_and_two_more(tiny: LoadedPipeline) -> None:
    kinds = [type(figure) for figure in _measure(tiny, "warm-up")]
    assert kinds == [Phase, FirstCall, Phase, NextCall, Phase, NextCall]


def test_speed_is_the_figures_without_the_image(tiny: LoadedPipeline) -> None:
    kinds = [type(figure) for figure in _measure(tiny, "speed")]
    assert kinds == [Phase, FirstCall, Phase, TimedCall, Phase, TimedCall, Load]


def test_each_timed_call_has_the_next_prompt_and_the_image_the_first(
    tiny: LoadedPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = _call(tiny).prompt
    asked = _prompts_asked(tiny, "figures", monkeypatch)
    assert asked == [first, "owl", "robot", first]


def test_the_requests_prompts_go_before_those_that_suit_the_model(tiny: LoadedPipeline) -> None:
    assert prompts_of(BenchRequest(prompts=("x", "y", "X ")), tiny) == ("x", "y")
    assert len(prompts_of(BenchRequest(model="synthetic:alpha"), tiny)) > 4


def test_quality_has_no_times(tiny: LoadedPipeline) -> None:
    assert [type(figure) for figure in _measure(tiny, "quality")] == [Phase, Picture]


def test_one_step_has_no_iteration_speed() -> None:
    sigma = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=_CPU)
    timed = [x for x in _measure(sigma, "figures", steps=1) if isinstance(x, TimedCall)]
    assert [x.iterations_per_s for x in timed] == [None, None]


def test_one_step_of_a_solver_is_refused_for_alpha(tiny: LoadedPipeline) -> None:
    with pytest.raises(RequestError, match="in one step"):
        _call(tiny, steps=1)


def test_every_call_makes_the_image_of_the_stock_pipeline(tiny: LoadedPipeline) -> None:
    picture = _measure(tiny, "figures")[-1]
    stock = tiny.pipeline(**_call(tiny).arguments(), output_type="pil").images[0]
    assert isinstance(picture, Picture)
    assert np.array_equal(np.asarray(picture.pixels), np.asarray(stock))


@pytest.mark.filterwarnings("ignore:invalid value")
def test_an_image_with_nan_is_no_image(tiny: LoadedPipeline) -> None:
    with torch.no_grad():
        tiny.pipeline.transformer.proj_out.bias.fill_(float("nan"))
    assert _measure(tiny, "quality")[-1] == Picture(None)


@pytest.mark.gpu
def test_figures_on_cuda() -> None:
    cuda = torch.device("cuda")
    tiny = load_pipeline("synthetic:alpha-tiny", dtype=torch.bfloat16, device=cuda)
    call = _call(tiny, steps=20)
    found = measure(tiny.pipeline, call, "figures", prompts=_PROMPTS, repeats=4, device=cuda)
    figures = list(found)
    load = figures[-2]
    assert isinstance(load, Load)
    assert 0 < load.peak_bytes <= torch.cuda.max_memory_allocated(cuda)
    assert load.reserved_bytes is not None
    assert load.reserved_bytes >= load.peak_bytes
    for timed in figures:
        if isinstance(timed, TimedCall):
            assert timed.transformer_s is not None
            assert timed.iterations_per_s is not None
            assert 0 < timed.transformer_s < 1.1 / timed.iterations_per_s
    speeds = [x.iterations_per_s for x in figures if isinstance(x, TimedCall)]
    assert all(speed is not None and speed > 0 for speed in speeds)
