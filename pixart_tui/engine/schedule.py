"""A scheduler's own steps for one sampling call: its calls, its arithmetic and its noise."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import torch
from torch import Tensor

from pixart_tui.domain.errors import RequestError, first_line
from pixart_tui.engine.typing import Pipeline, Scheduler

_OTHER: Final = "use a model with another scheduler, for example DPMSolverMultistepScheduler"


class Schedule:
    """A scheduler of its own for one sampling call.

    The scheduler keeps what it needs of earlier calls, so a schedule runs its calls once and in
    order. Nothing here is detached: under autograd the result's graph is that of the scheduler's
    own arithmetic, over all calls.

    Each row has a generator of its own on the CPU. It first draws the row's initial noise, as the
    stock pipeline does, and then what a stochastic scheduler asks for, always in float32: a row is
    the same in every batch and every dtype of the model, and with a float32 model it is what
    ``pipe(prompt, generator=torch.Generator("cpu").manual_seed(seed))`` makes.

    Args:
        pipeline: A PixArt pipeline; its scheduler's state is not touched.
        num_inference_steps: Denoising steps; ignored where there are timesteps.
        timesteps: Timesteps in place of a number of steps, descending.
        seeds: The seed of each row; it may repeat.
        shape: The latents' shape, (n, channels, h, w).
        device: Where the latents are.

    Attributes:
        timesteps: The timestep of each transformer call, scalars; some schedulers make more calls
            than steps.

    Raises:
        RequestError: The scheduler cannot make these steps.
    """

    timesteps: tuple[Tensor, ...]

    def __init__(
        self,
        pipeline: Pipeline,
        num_inference_steps: int,
        timesteps: Sequence[int] = (),
        *,
        seeds: Sequence[int],
        shape: Sequence[int],
        device: torch.device,
    ) -> None:
        self._scheduler = _timed(pipeline.scheduler, num_inference_steps, timesteps, device)
        self.timesteps = tuple(self._scheduler.timesteps)
        self._generators = (
            [_after_initial_noise(seed, shape) for seed in _per_row(seeds, shape)]
            if draws_noise(pipeline, num_inference_steps, timesteps)
            else []
        )
        self._options = _step_options(self._scheduler, self._generators)
        config = pipeline.transformer.config
        self._learned_sigma = config.out_channels // 2 == config.in_channels
        one_step = (len(self.timesteps) if timesteps else num_inference_steps) == 1
        # One-step models of alpha end on the denoised sample, where the scheduler returns one.
        self._result = 1 if one_step and _is_alpha(pipeline) else 0

    def __len__(self) -> int:
        """Transformer calls."""
        return len(self.timesteps)

    @property
    def stochastic(self) -> bool:
        """Whether the scheduler adds noise between the calls."""
        return bool(self._generators)

    @property
    def init_noise_sigma(self) -> Any:
        """Returns the factor of the initial noise; a number or a scalar tensor."""
        return self._scheduler.init_noise_sigma

    def inputs(self, latents: Tensor, call: int) -> Tensor:
        """Returns the transformer's input at a call, shaped like the latents."""
        inputs: Tensor = self._scheduler.scale_model_input(latents, self.timesteps[call])
        return inputs

    def step(self, prediction: Tensor, call: int, latents: Tensor) -> Tensor:
        """The latents after a call, in the latents' dtype.

        Args:
            prediction: The guided noise prediction, with or without a learned sigma.
            call: The index of the call.
            latents: The latents before it.
        """
        if self._learned_sigma:
            prediction = prediction.chunk(2, dim=1)[0]
        if not self.stochastic:
            return self._step(prediction, call, latents)
        # Schedulers draw in the prediction's dtype, and another dtype may have another noise.
        return self._step(prediction.float(), call, latents.float()).to(latents.dtype)

    def _step(self, prediction: Tensor, call: int, latents: Tensor) -> Tensor:
        outputs = self._scheduler.step(
            prediction, self.timesteps[call], latents, **self._options, return_dict=False
        )
        result: Tensor = outputs[min(self._result, len(outputs) - 1)]
        return result


def call_count(pipeline: Pipeline, num_inference_steps: int, timesteps: Sequence[int] = ()) -> int:
    """How often one image calls the transformer; with Heun, for example, about twice a step.

    The scheduler runs once on tiny latents, so that what cannot run is refused before any work.

    Raises:
        RequestError: The scheduler does not go with the model, or cannot make these steps.
    """
    check_scheduler(pipeline)
    draws_noise(pipeline, num_inference_steps, timesteps)
    scheduler = pipeline.scheduler
    return len(_timed(scheduler, num_inference_steps, timesteps, torch.device("cpu")).timesteps)


def check_scheduler(pipeline: Pipeline) -> None:
    """Refuses a scheduler that steps otherwise than PixArt was trained.

    Raises:
        RequestError: It matches flows, preconditions the model, or is none of a noise prediction.
    """
    reason = _refusal(pipeline.scheduler)
    if reason:
        name = type(pipeline.scheduler).__name__
        raise RequestError(f"{name} does not go with this model", cause=reason, next_step=_OTHER)


def _refusal(scheduler: Scheduler) -> str:
    """Why a scheduler does not go with a model that predicts noise; empty where it does."""
    taken = inspect.signature(type(scheduler).__init__).parameters
    config = {name: value for name, value in scheduler.config.items() if name in taken}
    flows = config.get("use_flow_sigmas") or config.get("prediction_type") == "flow_prediction"
    if flows or "FlowMatch" in type(scheduler).__name__:
        return "it matches flows, and a PixArt model predicts noise"
    if "sigma_data" in taken:
        return "it preconditions the model as EDM does, and a PixArt model predicts noise"
    missing = [x for x in ("scale_model_input", "init_noise_sigma") if not hasattr(scheduler, x)]
    return f"it has no {missing[0]}, which the pipelines need" if missing else ""


def takes_timesteps(scheduler: Scheduler) -> bool:
    """Whether a scheduler can be given timesteps in place of a number of steps."""
    return "timesteps" in inspect.signature(scheduler.set_timesteps).parameters


def draws_noise(
    pipeline: Pipeline, num_inference_steps: int, timesteps: Sequence[int] = ()
) -> bool:
    """Whether the scheduler adds noise between the calls, found by running it on tiny latents.

    Raises:
        RequestError: It cannot make these steps, or its noise does not come from a seed.
    """
    scheduler = pipeline.scheduler
    kind: Any = type(scheduler)
    return _dry_run(kind, scheduler.to_json_string(), num_inference_steps, tuple(timesteps))


@lru_cache(maxsize=64)
def _dry_run(kind: Any, config: str, num_inference_steps: int, timesteps: tuple[int, ...]) -> bool:
    cpu = torch.device("cpu")
    scheduler = _timed(kind.from_config(json.loads(config)), num_inference_steps, timesteps, cpu)
    generators = [torch.Generator("cpu").manual_seed(0) for _ in range(2)]
    before = generators[0].get_state()
    try:
        rows = _run_tiny(scheduler, _step_options(scheduler, generators))
    except Exception as error:
        raise RequestError(
            f"{kind.__name__} does not step as the pipelines call it",
            cause=_brief(error),
            next_step=_OTHER,
        ) from error
    if not torch.allclose(rows[0], rows[1], rtol=0, atol=0, equal_nan=True):
        raise RequestError(
            f"the noise of {kind.__name__} does not follow an image's seed",
            cause="two equal images of a batch came out different",
            next_step=_OTHER,
        )
    return not torch.equal(before, generators[0].get_state())


@torch.no_grad()
def _run_tiny(scheduler: Scheduler, options: Mapping[str, Any]) -> Tensor:
    latents = torch.full((2, 1, 4, 4), 0.5)
    for timestep in scheduler.timesteps:
        prediction = 0.1 * scheduler.scale_model_input(latents, timestep)
        latents = scheduler.step(prediction, timestep, latents, **options, return_dict=False)[0]
    return latents


def _timed(
    scheduler: Scheduler,
    num_inference_steps: int,
    timesteps: Sequence[int],
    device: torch.device,
) -> Scheduler:
    """A fresh scheduler of the same configuration, at the beginning of its steps."""
    made = type(scheduler).from_config(scheduler.config)
    _check_timesteps(made, timesteps)
    try:
        if timesteps:
            made.set_timesteps(timesteps=list(timesteps), device=device)
        else:
            made.set_timesteps(num_inference_steps, device=device)
    except Exception as error:
        asked = f"timesteps {list(timesteps)}" if timesteps else f"{num_inference_steps} steps"
        raise RequestError(
            f"{type(scheduler).__name__} does not take {asked}"[:200],
            cause=_brief(error),
            next_step="ask for other --timesteps" if timesteps else "ask for other --steps",
        ) from error
    if hasattr(made, "set_begin_index"):
        # Without it the first step searches the timesteps on the device, and waits for it.
        made.set_begin_index(0)
    return made


def _check_timesteps(scheduler: Scheduler, timesteps: Sequence[int]) -> None:
    """Refuses timesteps that the scheduler does not take, or that its model was not trained on."""
    if not timesteps:
        return
    name = type(scheduler).__name__
    if not takes_timesteps(scheduler):
        raise RequestError(
            f"{name} takes no timesteps",
            cause="it takes a number of steps alone",
            next_step="use --steps",
        )
    trained = scheduler.config.num_train_timesteps
    if max(timesteps) >= trained:
        raise RequestError(
            f"there is no timestep {max(timesteps)}",
            cause=f"{name} has the timesteps 0 to {trained - 1}",
            next_step=f"name timesteps up to {trained - 1}",
        )


def _step_options(scheduler: Scheduler, generators: Sequence[torch.Generator]) -> dict[str, Any]:
    """Builds the extra arguments of each step, as far as the scheduler takes them."""
    taken = inspect.signature(scheduler.step).parameters
    options = {"eta": 0.0, "generator": list(generators) or None}
    return {name: value for name, value in options.items() if name in taken}


def _per_row(seeds: Sequence[int], shape: Sequence[int]) -> Sequence[int]:
    if len(seeds) != shape[0]:
        raise ValueError(f"{len(seeds)} seeds for {shape[0]} rows")
    return seeds


def _after_initial_noise(seed: int, shape: Sequence[int]) -> torch.Generator:
    """A row's generator as the stock pipeline has it when the first step begins."""
    generator = torch.Generator("cpu").manual_seed(seed)
    torch.randn((1, *shape[1:]), generator=generator, dtype=torch.float32)
    return generator


def _brief(error: BaseException) -> str:
    """The first line of what an exception says."""
    return f"{type(error).__name__}: {first_line(error)}"


def _is_alpha(pipeline: Pipeline) -> bool:
    return type(pipeline).__name__ == "PixArtAlphaPipeline"
