"""Whole images of the fused pipeline against eager ones, on a GPU."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from pixart_tui.domain.bench_matrix import BEST_CONFIG
from pixart_tui.domain.deployment import Deployment
from pixart_tui.domain.layers import Layer
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
    deploy(loaded, deployment, None, _CUDA)
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
        quant_type=_FP8,
        layers=chosen,
        fp8_attention=fp8_attention,
    )
    deploy(loaded, deployment, Execution.REAL, _CUDA)
    assert min(ssim_per_image(_images(loaded), eager)) > 0.97
