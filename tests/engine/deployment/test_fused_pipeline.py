"""Whole images of the fused pipeline against eager ones, on a GPU."""

from __future__ import annotations

import gc
from typing import Any

import pytest
import torch
from torch import Tensor

from pixart_tui.domain.benchmarks.matrix import BEST_CONFIG
from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.roles import depends_on_text_alone
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.engine.deployment import deploy
from pixart_tui.engine.image_metrics import ssim_per_image
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.quant.execution import Execution

pytestmark = pytest.mark.gpu

_CUDA = torch.device("cuda")
_PROMPTS = ("robot", "red apple", "robot")
_FP8 = "fp8_e4m3_e4m3_dynamic"


def _loaded() -> LoadedPipeline:
    return load_pipeline("pixart-emoji", dtype=torch.bfloat16, device=_CUDA)


def _layers(loaded: LoadedPipeline) -> tuple[Layer, ...]:
    tokens = loaded.defaults.max_sequence_length
    return list_layers(loaded.pipeline, height=128, width=128, text_tokens=tokens)


def _images(loaded: LoadedPipeline) -> Tensor:
    defaults = loaded.defaults
    images = [
        loaded.pipeline(
            prompt,
            num_inference_steps=defaults.num_inference_steps,
            guidance_scale=defaults.guidance_scale,
            height=128,
            width=128,
            max_sequence_length=defaults.max_sequence_length,
            use_resolution_binning=False,
            clean_caption=False,
            output_type="pt",
            generator=torch.Generator("cpu").manual_seed(0),
        ).images
        for prompt in _PROMPTS
    ]
    return torch.cat(images).float().cpu()


def test_its_images_are_the_eager_ones_within_the_noise_of_bfloat16() -> None:
    loaded = _loaded()
    eager = _images(loaded)
    deployment = Deployment(compiler="torch", compiler_config=BEST_CONFIG)
    deploy(loaded.pipeline, deployment, None, _CUDA)
    fused = _images(loaded)
    assert min(ssim_per_image(fused, eager)) > 0.995
    assert torch.equal(fused[0], fused[2])


@pytest.mark.parametrize("fp8_attention", [False, True])
def test_fp8_images_stay_close(fp8_attention: bool) -> None:
    if fp8_attention and torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("fp8 attention needs compute capability 9.0")
    loaded = _loaded()
    eager = _images(loaded)
    chosen = tuple(x.fqn for x in _layers(loaded) if x.block is not None)
    deployment = Deployment(
        compiler="torch",
        compiler_config=BEST_CONFIG,
        choice=Choice.of_one(_FP8, chosen),
        fp8_attention=fp8_attention,
    )
    deploy(loaded.pipeline, deployment, Execution.REAL, _CUDA)
    assert min(ssim_per_image(_images(loaded), eager)) > 0.97


_NO_GRAPHS = '{"mode": "max-optimize:freezing:benchmark:low-precision"}'


def _chosen(loaded: LoadedPipeline, each: int) -> tuple[str, ...]:
    """The blocks' layers that run at every step, all or but each so many-th."""
    names = [x.fqn for x in _layers(loaded) if x.block is not None]
    of_steps = [name for name in names if not depends_on_text_alone(name)]
    return tuple(name for i, name in enumerate(of_steps) if not each or i % each)


def _deployed(config: str, choice: Choice) -> Any:
    loaded = _loaded()
    deployment = Deployment(compiler="torch", compiler_config=config, choice=choice)
    deploy(loaded.pipeline, deployment, Execution.REAL, _CUDA)
    return loaded.pipeline


def _outputs(pipeline: Any, steps: int, images: int = 2) -> list[Tensor]:
    """What the transformer gives, step by step, of images one after another."""
    pipeline.scheduler.set_timesteps(steps)
    generator = torch.Generator("cuda").manual_seed(0)

    def noise(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device="cuda").bfloat16()

    found = []
    for _ in range(images):
        text, mask = noise(2, 20, 256), torch.ones(2, 20, dtype=torch.int64, device="cuda")
        for timestep in pipeline.scheduler.timesteps:
            call = {
                "encoder_hidden_states": text,
                "encoder_attention_mask": mask,
                "timestep": timestep.to("cuda").expand(2),
                "added_cond_kwargs": {"resolution": None, "aspect_ratio": None},
                "return_dict": False,
            }
            with torch.no_grad():
                found.append(pipeline.transformer(noise(2, 4, 16, 16), **call)[0])
    return found


@pytest.mark.parametrize("config", [BEST_CONFIG, _NO_GRAPHS])
@pytest.mark.parametrize(("each", "there"), [(0, 0), (7, 0), (0, 3), (7, 3)])
def test_kept_steps_are_those_of_what_is_quantized_there_and_the_others_of_all(
    config: str, each: int, there: int
) -> None:
    kept, steps = KeptSteps(first=1, last=2), 5
    layers = _chosen(_loaded(), each)
    throughout = layers[::there] if there else ()
    choice = Choice.of_one(_FP8, layers, kept).replace(at_every_step=throughout)
    few = _outputs(_deployed(config, Choice.of_one(_FP8, throughout)), steps)
    every = _outputs(_deployed(config, Choice.of_one(_FP8, layers)), steps)
    both = _outputs(_deployed(config, choice), steps)
    for index, found in enumerate(both):
        quantizes = kept.quantizes(index % steps, steps)
        assert torch.equal(found, (every if quantizes else few)[index])
        assert not torch.equal(few[index], every[index])


def test_memory_grows_by_the_weights_of_what_is_quantized_and_little_else() -> None:
    taken = []
    loaded = _loaded()
    layers = _chosen(loaded, 0)
    weights_bytes = sum(loaded.pipeline.transformer.get_submodule(x).weight.nbytes for x in layers)
    del loaded
    for kept in (KeptSteps(), KeptSteps(last=1)):
        gc.collect()
        before = torch.cuda.memory_allocated()
        pipeline = _deployed(BEST_CONFIG, Choice.of_one(_FP8, layers, kept))
        gc.collect()
        taken.append(torch.cuda.memory_allocated() - before)
        del pipeline
    # Biases that are put together are there twice.
    assert taken[1] - taken[0] < 1.1 * weights_bytes
