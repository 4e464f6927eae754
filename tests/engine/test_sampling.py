from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
)
from torch import Tensor

from pixart_tui.domain.errors import CancelledError, RequestError
from pixart_tui.engine import sampling
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sampling import (
    Conditioning,
    decode,
    denoise,
    encode_prompts,
    initial_latents,
)

STEPS, SIDE, TOKENS = 3, 64, 16
FAMILIES = ("alpha", "sigma")


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    # The models are so small that a second thread costs more than it brings.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _pipeline(family: str, dtype: torch.dtype = torch.float32) -> Any:
    device = torch.device("cpu")
    return load_pipeline(f"synthetic:{family}-tiny", dtype=dtype, device=device).pipeline


def _stock(pipeline: Any, prompt: str, seed: int, guidance: float, output: str, **more: Any) -> Any:
    return pipeline(
        prompt,
        negative_prompt="blurry",
        generator=torch.Generator("cpu").manual_seed(seed),
        guidance_scale=guidance,
        output_type=output,
        max_sequence_length=TOKENS,
        clean_caption=False,
        use_resolution_binning=False,
        **{"num_inference_steps": STEPS, "height": SIDE, "width": SIDE, **more},
    ).images


def _encode(pipeline: Any, *prompts: str) -> Conditioning:
    return encode_prompts(pipeline, prompts, "blurry", TOKENS)


def _draw(
    pipeline: Any,
    conditioning: Conditioning,
    latents: Tensor,
    guidance: float = 4.5,
    *,
    steps: int = STEPS,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    return denoise(
        pipeline,
        conditioning,
        latents,
        seeds=[0] * len(latents),
        num_inference_steps=steps,
        guidance_scale=guidance,
        height=latents.shape[-2] * 8,
        width=latents.shape[-1] * 8,
        on_step=on_step,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("guidance", [1.0, 4.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_one_sample_equals_the_stock_pipeline(
    family: str, guidance: float, dtype: torch.dtype
) -> None:
    pipeline = _pipeline(family, dtype)
    noise = initial_latents(pipeline, [7], SIDE, SIDE)
    latents = _draw(pipeline, _encode(pipeline, "a fox"), noise, guidance)
    assert torch.equal(latents, _stock(pipeline, "a fox", 7, guidance, "latent"))
    images = decode(pipeline, latents)
    assert images.dtype == torch.float32
    assert torch.equal(images, _stock(pipeline, "a fox", 7, guidance, "pt").float())


@pytest.mark.parametrize("guidance", [1.0, 4.5])
@pytest.mark.parametrize("family", FAMILIES)
def test_each_sample_of_a_batch_equals_the_stock_pipeline_alone(
    family: str, guidance: float
) -> None:
    # In double precision, where the order of a batched product's sums does not show.
    pipeline = _pipeline(family, torch.float64)
    prompts, seeds = ("a fox", "two apples", "snow"), (3, 1, 3)
    noise = initial_latents(pipeline, seeds, SIDE, SIDE)
    latents = _draw(pipeline, _encode(pipeline, *prompts), noise, guidance)
    for row, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
        alone = _stock(pipeline, prompt, seed, guidance, "latent")
        torch.testing.assert_close(latents[row : row + 1], alone, atol=1e-5, rtol=1e-5)


def test_sizes_that_are_not_square_reach_the_micro_conditions() -> None:
    pipeline = _pipeline("alpha")
    latents = _draw(pipeline, _encode(pipeline, "a fox"), initial_latents(pipeline, [1], 48, 80))
    stock = _stock(pipeline, "a fox", 1, 4.5, "latent", height=48, width=80)
    assert latents.shape == (1, 4, 6, 10)
    assert torch.equal(latents, stock)


@pytest.mark.parametrize(
    "scheduler",
    [
        DPMSolverMultistepScheduler(solver_order=3, use_karras_sigmas=True),
        DPMSolverMultistepScheduler(timestep_spacing="trailing"),
        EulerDiscreteScheduler(),
    ],
    ids=["karras", "trailing", "euler"],
)
@pytest.mark.parametrize("family", FAMILIES)
def test_other_schedulers_equal_the_stock_pipeline(family: str, scheduler: Any) -> None:
    pipeline = _pipeline(family)
    pipeline.scheduler = scheduler
    noise = initial_latents(pipeline, [2], SIDE, SIDE)
    latents = _draw(pipeline, _encode(pipeline, "a fox"), noise, steps=5)
    stock = _stock(pipeline, "a fox", 2, 4.5, "latent", num_inference_steps=5)
    assert torch.equal(latents, stock)


def test_calls_leave_no_trace_in_each_other_or_in_the_pipeline() -> None:
    pipeline = _pipeline("alpha")
    conditioning, noise = _encode(pipeline, "a fox"), initial_latents(pipeline, [1], SIDE, SIDE)
    pipeline.scheduler.set_timesteps(7)
    before, kept = pipeline.scheduler.timesteps.clone(), noise.clone()
    first = _draw(pipeline, conditioning, noise)
    assert torch.equal(_draw(pipeline, conditioning, noise), first)
    assert torch.equal(pipeline.scheduler.timesteps, before)
    assert pipeline.scheduler.step_index is None
    assert torch.equal(noise, kept)


def test_steps_are_reported_and_an_exception_cancels() -> None:
    pipeline = _pipeline("sigma")
    conditioning, noise = _encode(pipeline, "a fox"), initial_latents(pipeline, [1], SIDE, SIDE)
    seen: list[int] = []
    _draw(pipeline, conditioning, noise, on_step=seen.append)
    assert seen == list(range(STEPS))

    def cancel(step: int) -> None:
        seen.append(step)
        if step == 1:
            raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        _draw(pipeline, conditioning, noise, on_step=cancel)
    assert seen == [0, 1, 2, 0, 1]


def test_noise_follows_the_seed_alone() -> None:
    pipeline = _pipeline("sigma")
    torch.manual_seed(0)
    noise = initial_latents(pipeline, [5, 6], SIDE, SIDE)
    assert torch.equal(noise, initial_latents(pipeline, [6, 5], SIDE, SIDE).flip(0))
    assert not torch.equal(noise[0], noise[1])
    low = initial_latents(_pipeline("sigma", torch.bfloat16), [5, 6], SIDE, SIDE)
    torch.testing.assert_close(low.float(), noise, atol=0.02, rtol=0.01)


@pytest.mark.parametrize(("height", "width", "told"), [(72, 64, "height"), (64, 8, "width")])
def test_sizes_that_do_not_fit_are_told(height: int, width: int, told: str) -> None:
    with pytest.raises(RequestError, match=told) as caught:
        initial_latents(_pipeline("sigma"), [0], height, width)
    assert "multiples of 16" in caught.value.cause


def test_noise_of_another_dtype_is_cast() -> None:
    pipeline = _pipeline("sigma", torch.bfloat16)
    noise = initial_latents(_pipeline("sigma"), [1], SIDE, SIDE)
    assert noise.dtype == torch.float32
    assert _draw(pipeline, _encode(pipeline, "a fox"), noise).dtype == torch.bfloat16


def test_large_images_are_decoded_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = _pipeline("sigma")
    latents = torch.randn(3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    batches: list[int] = []
    pipeline.vae.decoder.register_forward_pre_hook(lambda _, x: batches.append(x[0].shape[0]))
    whole = decode(pipeline, latents)
    monkeypatch.setattr(sampling, "_DECODE_PIXELS_PER_CALL", 2 * SIDE * SIDE)
    torch.testing.assert_close(decode(pipeline, latents), whole)
    assert batches == [3, 2, 1]


def test_nan_stays_visible() -> None:
    pipeline = _pipeline("sigma")
    latents = torch.full((1, 4, 8, 8), float("nan"))
    assert decode(pipeline, latents).isnan().all()
