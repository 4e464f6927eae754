from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, Final

import diffusers
import pytest
import torch
from torch import Tensor

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.sampling import denoise, encode_prompts, initial_latents
from pixart_tui.engine.schedule import Schedule, call_count, check_scheduler, draws_noise

SIDE, TOKENS = 64, 16
CPU: Final = torch.device("cpu")

SDE: Final = {"algorithm_type": "sde-dpmsolver++"}
# Class, what is configured besides, steps, calls, whether it draws noise.
SCHEDULERS: Final[dict[str, tuple[str, dict[str, Any], int, int, bool]]] = {
    "euler ancestral": ("EulerAncestralDiscreteScheduler", {}, 3, 3, True),
    "lcm": ("LCMScheduler", {}, 3, 3, True),
    "sde": ("DPMSolverMultistepScheduler", SDE, 3, 3, True),
    "sde single": ("DPMSolverSinglestepScheduler", SDE, 3, 3, True),
    "ddpm": ("DDPMScheduler", {"clip_sample": False}, 3, 3, True),
    "sa": ("SASolverScheduler", {"algorithm_type": "data_prediction"}, 3, 3, True),
    "kdpm2 ancestral": ("KDPM2AncestralDiscreteScheduler", {}, 2, 3, True),
    "tcd": ("TCDScheduler", {}, 3, 3, False),
    "heun": ("HeunDiscreteScheduler", {}, 2, 3, False),
    "kdpm2": ("KDPM2DiscreteScheduler", {}, 2, 3, False),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}, 3, 4, False),
    "pndm prk": ("PNDMScheduler", {}, 4, 13, False),
    "unipc": ("UniPCMultistepScheduler", {}, 3, 3, False),
    "ddim": ("DDIMScheduler", {"clip_sample": False}, 3, 3, False),
    "lms": ("LMSDiscreteScheduler", {}, 3, 3, False),
    "deis": ("DEISMultistepScheduler", {}, 3, 3, False),
    "dpm": ("DPMSolverMultistepScheduler", {}, 3, 3, False),
}
STOCHASTIC: Final = [name for name, (*_, draws) in SCHEDULERS.items() if draws]


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@lru_cache
def _loaded(model: str, dtype: torch.dtype) -> Any:
    return load_pipeline(model, dtype=dtype, device=CPU).pipeline


def _pipeline(
    name: str, *, dtype: torch.dtype = torch.float32, model: str = "pixart-emoji"
) -> tuple[Any, int]:
    """The embedded model with another scheduler, and the steps of a test with it."""
    kind, more, steps, _, _ = SCHEDULERS[name]
    pipeline = _loaded(model, dtype)
    own = diffusers.DPMSolverMultistepScheduler()
    pipeline.scheduler = getattr(diffusers, kind).from_config(own.config, **more)
    return pipeline, steps


def _draw(
    pipeline: Any,
    prompts: Sequence[str],
    seeds: Sequence[int],
    steps: int,
    *,
    timesteps: Sequence[int] = (),
    guidance: float = 2.0,
) -> Tensor:
    return denoise(
        pipeline,
        encode_prompts(pipeline, prompts, "", TOKENS),
        initial_latents(pipeline, seeds, SIDE, SIDE, torch.float32),
        seeds=seeds,
        num_inference_steps=steps,
        timesteps=timesteps,
        guidance_scale=guidance,
        height=SIDE,
        width=SIDE,
    )


def _stock(pipeline: Any, prompt: str, seed: int, *, guidance: float = 2.0, **steps: Any) -> Tensor:
    latents: Tensor = pipeline(
        prompt,
        negative_prompt="",
        generator=torch.Generator("cpu").manual_seed(seed),
        guidance_scale=guidance,
        height=SIDE,
        width=SIDE,
        output_type="latent",
        max_sequence_length=TOKENS,
        clean_caption=False,
        use_resolution_binning=False,
        **steps,
    ).images
    return latents


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_sample_equals_the_stock_pipeline_and_itself_in_any_batch(name: str) -> None:
    pipeline, steps = _pipeline(name)
    alone = _draw(pipeline, ["a fox"], [7], steps)
    assert torch.equal(alone, _stock(pipeline, "a fox", 7, num_inference_steps=steps))
    batch = _draw(pipeline, ["snow", "a fox", "a fox", "a robot"], [7, 1, 7, 7], steps)
    # The order of a batched product's sums shows, most where the first noise level is high.
    torch.testing.assert_close(batch[2:3], alone, atol=5e-3, rtol=5e-3)
    assert not torch.allclose(batch[1], batch[2], atol=0.1)


@pytest.mark.parametrize("name", SCHEDULERS)
def test_calls_and_noise_are_found_by_running_the_scheduler(name: str) -> None:
    _, _, _, calls, draws = SCHEDULERS[name]
    pipeline, steps = _pipeline(name)
    assert call_count(pipeline, steps) == calls
    assert draws_noise(pipeline, steps) is draws
    made = Schedule(pipeline, steps, seeds=[0], shape=(1, 4, 8, 8), device=CPU)
    assert len(made) == len(made.timesteps) == calls
    assert made.stochastic is draws


@pytest.mark.parametrize("name", STOCHASTIC)
def test_the_noise_of_a_row_is_the_same_in_every_batch_and_dtype(name: str) -> None:
    pipeline, steps = _pipeline(name)
    shape = (1, 4, 8, 8)
    latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    def last(seeds: Sequence[int], dtype: torch.dtype) -> Tensor:
        made = Schedule(pipeline, steps, seeds=seeds, shape=(len(seeds), *shape[1:]), device=CPU)
        now = latents.to(dtype).expand(len(seeds), -1, -1, -1)
        for call in range(len(made)):
            now = made.step(made.inputs(now, call) * 0.5, call, now)
        assert now.dtype == dtype
        return now

    alone = last([5], torch.float32)
    assert torch.equal(last([3, 5, 5], torch.float32)[1:], alone.expand(2, -1, -1, -1))
    assert not torch.equal(last([3], torch.float32), alone)
    difference = last([5], torch.bfloat16).float() - alone
    assert difference.abs().mean() < 0.05 * alone.abs().mean()


@pytest.mark.parametrize("name", SCHEDULERS)
def test_the_graph_is_the_schedulers_own(name: str) -> None:
    """The gradient at each call's prediction equals a finite difference."""
    pipeline, steps = _pipeline(name)
    random = torch.Generator().manual_seed(1)
    shape = (2, 4, 4, 4)
    start, toward = (torch.randn(shape, generator=random, dtype=torch.float64) for _ in range(2))
    fixed = [
        0.5 * torch.randn(shape, generator=random, dtype=torch.float64)
        for _ in range(call_count(pipeline, steps))
    ]

    def final(predictions: Sequence[Tensor]) -> Tensor:
        made = Schedule(pipeline, steps, seeds=[0, 1], shape=shape, device=CPU)
        now = start * made.init_noise_sigma
        for call, prediction in enumerate(predictions):
            # As a transformer's do, so that midpoints count.
            now = made.step(prediction + 0.3 * made.inputs(now, call), call, now)
        total: Tensor = now.double().sum()
        return total

    leaves = [prediction.clone().requires_grad_() for prediction in fixed]
    gradients = torch.autograd.grad(final(leaves), leaves)
    assert gradients[0].abs().sum() > 0
    for call in (0, 1):
        along = float((gradients[call] * toward).sum())
        ends = [
            final([*fixed[:call], fixed[call] + sign * 0.01 * toward, *fixed[call + 1 :]])
            for sign in (1, -1)
        ]
        assert float(ends[0] - ends[1]) / 0.02 == pytest.approx(along, rel=2e-2, abs=2e-2)


def _with(kind: str, **config: Any) -> Any:
    pipeline = _loaded("pixart-emoji", torch.float32)
    own = diffusers.DPMSolverMultistepScheduler()
    pipeline.scheduler = getattr(diffusers, kind).from_config(own.config, **config)
    return pipeline


@pytest.mark.parametrize(
    ("kind", "config", "cause"),
    [
        ("FlowMatchEulerDiscreteScheduler", {}, "matches flows"),
        ("FlowMatchHeunDiscreteScheduler", {}, "matches flows"),
        ("DPMSolverMultistepScheduler", {"use_flow_sigmas": True}, "matches flows"),
        ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction"}, "matches flows"),
        ("EDMEulerScheduler", {}, "EDM"),
        ("EDMDPMSolverMultistepScheduler", {}, "EDM"),
        ("CMStochasticIterativeScheduler", {}, "EDM"),
        ("LTXEulerAncestralRFScheduler", {}, "no scale_model_input"),
        ("FlowMapEulerDiscreteScheduler", {}, "no init_noise_sigma"),
        ("KarrasVeScheduler", {}, "missing"),
        ("RePaintScheduler", {}, "TypeError"),
        ("DDPMScheduler", {"variance_type": "learned_range"}, "TypeError"),
    ],
)
def test_what_cannot_run_is_refused(kind: str, config: dict[str, Any], cause: str) -> None:
    with pytest.raises(RequestError) as caught:
        call_count(_with(kind, **config), 3)
    assert kind in caught.value.title
    assert cause in caught.value.cause
    assert caught.value.next_step


def test_an_option_that_the_scheduler_does_not_take_refuses_nothing() -> None:
    edm = diffusers.EDMEulerScheduler()
    pipeline = _with("DDIMScheduler", sigma_data=edm.config.sigma_data, use_flow_sigmas=True)
    check_scheduler(pipeline)


def test_steps_that_the_scheduler_cannot_make_are_told() -> None:
    with pytest.raises(RequestError, match="PNDMScheduler does not take 3 steps"):
        call_count(_with("PNDMScheduler"), 3)
    with pytest.raises(RequestError, match=r"does not take timesteps \[999, 500\]"):
        call_count(_with("DPMSolverMultistepScheduler", use_karras_sigmas=True), 2, (999, 500))


class _OwnNoise(diffusers.DDIMScheduler):  # type: ignore[misc]
    def step(self, *args: Any, **kwargs: Any) -> Any:
        (result, *rest) = super().step(*args, **kwargs)
        return (result + torch.randn(result.shape), *rest)


def test_noise_that_no_seed_reaches_is_refused() -> None:
    pipeline = _loaded("pixart-emoji", torch.float32)
    pipeline.scheduler = _OwnNoise()
    with pytest.raises(RequestError, match="does not follow an image's seed"):
        call_count(pipeline, 2)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 2.0])
@pytest.mark.parametrize(
    ("kind", "timesteps"),
    [
        ("DDPMScheduler", (999, 749, 499)),
        ("DDPMScheduler", (400,)),
        ("LCMScheduler", (999, 499)),
        ("DPMSolverMultistepScheduler", (900, 500, 100)),
    ],
)
def test_timesteps_equal_the_stock_pipelines(
    kind: str, timesteps: tuple[int, ...], guidance: float
) -> None:
    pipeline = _with(kind)
    assert call_count(pipeline, len(timesteps), timesteps) == len(timesteps)
    drawn = _draw(pipeline, ["a fox"], [3], len(timesteps), timesteps=timesteps, guidance=guidance)
    stock = _stock(pipeline, "a fox", 3, guidance=guidance, timesteps=list(timesteps))
    assert torch.equal(drawn, stock)


def test_one_timestep_of_alpha_ends_on_the_denoised_sample() -> None:
    pipeline = _loaded("synthetic:alpha-tiny", torch.float32)
    pipeline.scheduler = diffusers.DDPMScheduler()
    drawn = _draw(pipeline, ["a fox"], [3], 1, timesteps=(400,), guidance=0.0)
    assert torch.equal(drawn, _stock(pipeline, "a fox", 3, guidance=0.0, timesteps=[400]))


def test_timesteps_that_do_not_go_are_refused() -> None:
    with pytest.raises(RequestError, match="EulerAncestralDiscreteScheduler takes no timesteps"):
        call_count(_with("EulerAncestralDiscreteScheduler"), 1, (999,))
    with pytest.raises(RequestError, match="no timestep 1000") as caught:
        call_count(_with("DDPMScheduler"), 1, (1000,))
    assert "0 to 999" in caught.value.cause


def test_each_row_needs_a_seed() -> None:
    with pytest.raises(ValueError, match="1 seeds for 2 rows"):
        Schedule(_with("LCMScheduler"), 2, seeds=[0], shape=(2, 4, 8, 8), device=CPU)
