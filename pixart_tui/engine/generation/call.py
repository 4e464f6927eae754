"""The pipeline call that a generation makes, and making it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.generation import CallOptions, PipelineCall, Purpose
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.engine.bench.timing import synchronize, timer_for
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.loading.loaded import CallDefaults
from pixart_tui.engine.schedule import takes_timesteps
from pixart_tui.engine.typing import Pipeline

Images: TypeAlias = npt.NDArray[np.uint8]
OnStep: TypeAlias = Callable[[int], None]
"""Takes how many steps of a call are done; it may raise to cancel."""

_OWN_STEPS: Final = ("timesteps", "sigmas")
"""Options that stand in place of a number of steps."""


@dataclass(frozen=True, slots=True)
class GenerateCall:
    """A batch of images of one prompt.

    Attributes:
        prompt: The prompt.
        negative_prompt: What guidance steers away from.
        height: Pixels.
        width: Pixels.
        batch: Images.
        seed: Seed of the initial noise, drawn on the device as OneDiff's script draws it.
        num_inference_steps: Denoising steps.
        options: More of the call's arguments.
    """

    prompt: str
    negative_prompt: str
    height: int
    width: int
    batch: int
    seed: int
    num_inference_steps: int
    options: dict[str, Any]

    @property
    def guidance_scale(self) -> float:
        """Classifier-free guidance."""
        return float(self.options["guidance_scale"])

    @property
    def text_tokens(self) -> int:
        """Tokens that a prompt is cut or padded to."""
        return int(self.options["max_sequence_length"])

    @property
    def cleans_caption(self) -> bool:
        """Whether the pipeline cleans the prompts; the stock one does unless it is told."""
        return bool(self.options.get("clean_caption", True))

    @property
    def uses_binning(self) -> bool:
        """Whether the image is drawn at the nearest size that the model was trained on."""
        return bool(self.options["use_resolution_binning"])

    def arguments(self, device: torch.device) -> dict[str, Any]:
        """Keyword arguments of the pipeline, with a fresh generator."""
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "height": self.height,
            "width": self.width,
            "num_images_per_prompt": self.batch,
            "num_inference_steps": self.num_inference_steps,
            "generator": torch.Generator(device).manual_seed(self.seed),
            **self.options,
        }

    def sized(self, height: int, width: int) -> GenerateCall:
        """The same call with another size."""
        return replace(self, height=height, width=width)

    def stepping(self, steps: int) -> GenerateCall:
        """The same call with another number of steps."""
        own = {x: value for x, value in self.options.items() if x not in _OWN_STEPS}
        return replace(self, num_inference_steps=steps, options=own)


def resolve_call(
    request: GenerateRequest, loaded: LoadedPipeline, *, bins: bool, first: int
) -> GenerateCall:
    """The request with the model's own defaults for what it leaves open.

    Args:
        request: What was asked.
        loaded: The pipeline, its scheduler the one that was asked for.
        bins: Whether the model has sizes that it was trained on.
        first: The fewest steps that the scheduler makes an image in.

    Raises:
        RequestError: Fewer steps than that.
    """
    options = request.call_options
    sampling = loaded.defaults.for_request(request, options.timesteps)
    steps, timesteps = _steps_of(options, sampling, loaded)
    if steps < first:
        raise RequestError(
            f"the stock pipeline cannot make an image in {steps} step",
            cause=f"its scheduler is {type(loaded.pipeline.scheduler).__name__}",
            next_step=f"ask for --steps {first} or more",
        )
    return GenerateCall(
        prompt=request.prompts[0],
        negative_prompt=request.negative_prompt,
        height=sampling.height,
        width=sampling.width,
        batch=request.batch,
        seed=request.seed,
        num_inference_steps=steps,
        options={
            "guidance_scale": sampling.guidance_scale,
            "max_sequence_length": sampling.max_sequence_length,
            "use_resolution_binning": bins,
            **options.arguments(),
            **({"timesteps": list(timesteps)} if timesteps else {}),
        },
    )


def _steps_of(
    given: CallOptions, sampling: CallDefaults, loaded: LoadedPipeline
) -> tuple[int, tuple[int, ...]]:
    """The number of steps, and the timesteps where these stand in place of it."""
    if given.sigmas:
        return len(given.sigmas), given.timesteps
    if given.timesteps or takes_timesteps(loaded.pipeline.scheduler):
        return sampling.num_inference_steps, sampling.timesteps
    # The model's own timesteps are not for every scheduler that it may be asked to run with.
    return sampling.num_inference_steps, ()


def make_call(
    pipeline: Pipeline, call: GenerateCall, purpose: Purpose, device: torch.device, on_step: OnStep
) -> tuple[PipelineCall, Images]:
    """One timed pipeline call and its images, (batch, height, width, 3).

    Raises:
        WorkError: The images hold NaN or infinity.
    """
    timer = timer_for(device)
    done = 0

    def ended(step: int, timestep: object, latents: object) -> None:
        nonlocal done
        timer(step, timestep, latents)
        done += 1
        on_step(done)

    synchronize(device)
    started_s = time.perf_counter()
    # Arrays, so that NaN can be seen; turning them into PIL images is part of the call's time.
    more = {"output_type": "np", "callback": ended, "callback_steps": 1}
    images = pipeline(**call.arguments(device), **more).images
    pipeline.image_processor.numpy_to_pil(images)
    synchronize(device)
    elapsed_s = time.perf_counter() - started_s
    if not np.isfinite(images).all():
        raise _not_finite(pipeline)
    made = PipelineCall(
        purpose=purpose,
        height=call.height,
        width=call.width,
        steps=call.num_inference_steps,
        elapsed_s=elapsed_s,
        iterations_per_s=timer.iterations_per_s(),
    )
    return made, (images * 255).round().astype(np.uint8)


def _not_finite(pipeline: Pipeline) -> WorkError:
    return WorkError(
        "the image holds NaN or infinity",
        cause=f"computed in {pipeline.transformer.dtype} with {type(pipeline.scheduler).__name__}",
        next_step="try another --scheduler, or fewer quantized layers",
    )
