"""``optimize`` with the fused kernels, on a GPU."""

from __future__ import annotations

import gc
from typing import Any, Final

import diffusers
import numpy as np
import numpy.typing as npt
import pytest
import torch

from pixart_tui import load, optimize, restore
from pixart_tui.domain.errors import RequestError, WorkError

pytestmark = pytest.mark.gpu

_FP8: Final = "fp8_e4m3_e4m3_dynamic"


@pytest.fixture
def pipe() -> Any:
    return load("pixart-emoji", device="cuda")


def _image(
    pipe: Any, prompt: str = "robot", side: int = 128, **more: Any
) -> npt.NDArray[np.float32]:
    images: npt.NDArray[np.float32] = pipe(
        prompt,
        num_inference_steps=8,
        guidance_scale=2.0,
        height=side,
        width=side,
        max_sequence_length=16,
        use_resolution_binning=False,
        clean_caption=False,
        output_type="np",
        generator=torch.Generator("cpu").manual_seed(0),
        **more,
    ).images
    return images


def _silent(_text: str) -> None:
    pass


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"quant_type": _FP8},
        {"quant_type": _FP8, "fp8_attention": True},
        {"quant_type": "int8_dynamic", "keep_steps": "1,4"},
        {"quant_type": _FP8, "compiler": "none"},
        {"quant_type": _FP8, "memory_budget": 0.5},
    ],
    ids=str,
)
def test_a_restored_pipeline_draws_the_very_image(pipe: Any, options: dict[str, Any]) -> None:
    if options.get("fp8_attention") and torch.cuda.get_device_capability() != (9, 0):
        pytest.skip("fp8 attention needs compute capability 9.0")
    image = _image(pipe)
    optimize(pipe, tell=_silent, **options)
    first = _image(pipe)
    assert not np.array_equal(first, image)
    assert np.abs(first - image).mean() < 0.05
    assert np.array_equal(_image(pipe), first)
    restore(pipe)
    assert np.array_equal(_image(pipe), image)


def test_sizes_batches_and_schedulers_change_at_will(pipe: Any) -> None:
    optimize(pipe, quant_type=_FP8, tell=_silent)
    one = _image(pipe)
    assert _image(pipe, side=96).shape == (1, 96, 96, 3)
    assert _image(pipe, num_images_per_prompt=3).shape == (3, 128, 128, 3)
    assert np.array_equal(_image(pipe), one)
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    assert not np.array_equal(_image(pipe), one)


def test_no_memory_of_the_gpu_is_kept_for_restoring(pipe: Any) -> None:
    gc.collect()  # of tests before
    before = torch.cuda.memory_allocated()
    optimize(pipe, quant_type="int8_weightonly", compiler="none", tell=_silent)
    assert torch.cuda.memory_allocated() < before
    restore(pipe)
    assert torch.cuda.memory_allocated() == pytest.approx(before, rel=0.01)


def test_a_gradient_is_refused(pipe: Any) -> None:
    optimize(pipe, tell=_silent)
    latents = torch.zeros(2, 4, 16, 16, device="cuda", dtype=torch.bfloat16, requires_grad=True)
    text = torch.zeros(2, 16, pipe.text_encoder.config.d_model, device="cuda").bfloat16()
    mask = torch.ones(2, 16, device="cuda")
    micro = {"resolution": None, "aspect_ratio": None}
    time = torch.tensor([500, 500], device="cuda")
    with pytest.raises(WorkError, match="no gradient"):
        pipe.transformer(
            latents,
            encoder_hidden_states=text,
            encoder_attention_mask=mask,
            timestep=time,
            added_cond_kwargs=micro,
        )


def test_perturbed_attention_guidance_is_compiled_and_told() -> None:
    sigma = load("synthetic:sigma-tiny", device="cuda")
    pag = diffusers.PixArtSigmaPAGPipeline(**sigma.components, pag_applied_layers=["blocks.0"])
    told: list[str] = []

    def drawn() -> npt.NDArray[np.float32]:
        images: npt.NDArray[np.float32] = pag(
            "robot",
            num_inference_steps=3,
            height=64,
            width=64,
            pag_scale=3.0,
            use_resolution_binning=False,
            output_type="np",
            generator=torch.Generator("cpu").manual_seed(0),
        ).images
        return images

    image = drawn()
    optimize(pag, tell=told.append)
    assert any("torch.compile runs the transformer" in text for text in told)
    assert np.abs(drawn() - image).mean() < 0.02
    with pytest.raises(RequestError, match="perturbed attention"):
        optimize(restore(pag), compiler_config='{"mode": "default"}', tell=_silent)
