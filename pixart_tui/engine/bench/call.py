"""The pipeline call that a benchmark repeats."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.prompts import prompts_for
from pixart_tui.engine.reading import PromptReader


@dataclass(frozen=True, slots=True)
class BenchCall:
    """One image: prompt, settings and noise.

    Attributes:
        prompt: The prompt.
        negative_prompt: What guidance steers away from.
        seed: Seed of the initial noise, drawn on the CPU so that every device gets the same.
        num_inference_steps: Denoising steps.
        guidance_scale: Classifier-free guidance.
        height: Pixels.
        width: Pixels.
        max_sequence_length: Tokens that the prompt is padded to.
        timesteps: The model's own timesteps in place of a number of steps; empty for none.
    """

    prompt: str
    negative_prompt: str
    seed: int
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    max_sequence_length: int
    timesteps: tuple[int, ...] = ()

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the pipeline, with a fresh generator."""
        return {
            "prompt": self.prompt,
            "negative_prompt": self.negative_prompt,
            "num_inference_steps": self.num_inference_steps,
            "guidance_scale": self.guidance_scale,
            "height": self.height,
            "width": self.width,
            "max_sequence_length": self.max_sequence_length,
            "generator": torch.Generator("cpu").manual_seed(self.seed),
            "clean_caption": False,
            "use_resolution_binning": False,
            **({"timesteps": list(self.timesteps)} if self.timesteps else {}),
        }

    def asking(self, prompt: str) -> BenchCall:
        """The same call with another prompt."""
        return replace(self, prompt=prompt)


def prompts_of(request: BenchRequest, loaded: LoadedPipeline) -> tuple[str, ...]:
    """The prompts that calls take in turn: the request's, else all that suit the model.

    None that is to the model what an earlier one is: a timed call's prompt has to be new to it.
    """
    return _reader(loaded).distinct(_asked(request))


def prompt_notices(request: BenchRequest, loaded: LoadedPipeline) -> tuple[str, ...]:
    """Returns notes on what was loaded, and on how the model reads the prompts."""
    found = _reader(loaded).notices(_asked(request), request.negative_prompt)
    return (*loaded.notes, *(notice.text for notice in found))


def _asked(request: BenchRequest) -> tuple[str, ...]:
    return request.prompts or prompts_for(request.model)


def _reader(loaded: LoadedPipeline) -> PromptReader:
    return PromptReader(loaded.pipeline, loaded.defaults.max_sequence_length)


def resolve_call(request: BenchRequest, loaded: LoadedPipeline) -> BenchCall:
    """The request's first prompt, with the model's own defaults for what it leaves open.

    Raises:
        RequestError: The stock pipeline cannot be called so.
    """
    sampling = loaded.defaults.for_request(request)
    if sampling.num_inference_steps == 1:
        _refuse_one_step(loaded)
    return BenchCall(
        prompt=_asked(request)[0],
        negative_prompt=request.negative_prompt,
        seed=request.seed,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        height=sampling.height,
        width=sampling.width,
        max_sequence_length=sampling.max_sequence_length,
        timesteps=sampling.timesteps,
    )


def _refuse_one_step(loaded: LoadedPipeline) -> None:
    """The stock pipeline takes a second output of one-step schedulers; solvers have none."""
    scheduler = type(loaded.pipeline.scheduler).__name__
    if loaded.family == "alpha" and scheduler.startswith("DPMSolver"):
        raise RequestError(
            "the stock PixArt-alpha pipeline cannot make an image in one step",
            cause=f"its scheduler is {scheduler}",
            next_step="ask for --steps 2 or more",
        )
