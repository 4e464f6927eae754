from __future__ import annotations

import numpy as np
import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.engine.bench.call import BenchCall, resolve_call
from pixart_tui.engine.bench.measure import (
    Figure,
    FirstCall,
    Peak,
    Phase,
    Picture,
    Task,
    TimedCall,
    likeness,
    measure,
)
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline

_CPU = torch.device("cpu")


def _call(tiny: LoadedPipeline, steps: int = 3) -> BenchCall:
    return resolve_call(BenchRequest(model=tiny.name, num_inference_steps=steps), tiny)


def _measure(tiny: LoadedPipeline, task: Task, steps: int = 3) -> list[Figure]:
    return list(measure(tiny.pipeline, _call(tiny, steps), task, repeats=2, device=_CPU))


def test_the_request_goes_before_the_models_defaults(tiny: LoadedPipeline) -> None:
    call = resolve_call(BenchRequest(model=tiny.name, prompts=("x", "y"), guidance_scale=0), tiny)
    assert (call.prompt, call.guidance_scale) == ("x", 0)
    assert call.num_inference_steps == tiny.defaults.num_inference_steps
    assert (call.height, call.width) == (tiny.defaults.height, tiny.defaults.width)


def test_figures_come_in_the_order_of_the_work(tiny: LoadedPipeline) -> None:
    figures = _measure(tiny, "figures")
    kinds = [type(figure) for figure in figures]
    assert kinds == [Phase, FirstCall, Phase, TimedCall, Phase, TimedCall, Peak, Picture]
    picture = figures[-1]
    assert isinstance(picture, Picture)
    assert picture.pixels is not None
    assert picture.pixels.shape == (64, 64, 3)
    for timed in figures:
        if isinstance(timed, TimedCall):
            assert timed.iterations_per_s is not None
            assert 2 / timed.iterations_per_s < timed.e2e_s


def test_a_warm_up_is_the_first_call_alone(tiny: LoadedPipeline) -> None:
    assert [type(figure) for figure in _measure(tiny, "warm-up")] == [Phase, FirstCall]


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


def test_likeness_tells_equal_images_from_nearly_equal_ones() -> None:
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)
    same = likeness(image, image.copy())
    assert same.ssim == pytest.approx(1.0)
    assert (same.psnr_db, same.equal) == (None, True)
    other = image.copy()
    other[0, 0, 0] += 1
    near = likeness(other, image)
    assert not near.equal
    assert near.psnr_db == pytest.approx(20 * np.log10(255) + 10 * np.log10(image.size))


@pytest.mark.gpu
def test_figures_on_cuda() -> None:
    cuda = torch.device("cuda")
    tiny = load_pipeline("synthetic:alpha-tiny", dtype=torch.bfloat16, device=cuda)
    figures = list(measure(tiny.pipeline, _call(tiny), "figures", repeats=2, device=cuda))
    assert isinstance(figures[-2], Peak)
    assert 0 < figures[-2].size_bytes <= torch.cuda.max_memory_allocated(cuda)
    speeds = [x.iterations_per_s for x in figures if isinstance(x, TimedCall)]
    assert all(speed is not None and speed > 0 for speed in speeds)
