"""The scheduler that a generation steps with."""

from __future__ import annotations

from typing import Final

import diffusers
import torch

from pixart_tui.domain.errors import RequestError, first_line
from pixart_tui.domain.suggestions import closest
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.typing import Pipeline, SchedulerClass

KEEP: Final = "none"
"""The name that leaves the model's own scheduler."""


def find_scheduler(name: str) -> SchedulerClass | None:
    """The class of that name, None to keep the model's own.

    Raises:
        RequestError: There is none; it names the closest one.
    """
    if name == KEEP:
        return None
    known = [found for found in dir(diffusers) if found.endswith("Scheduler")]
    if name not in known:
        raise RequestError(
            f"diffusers has no scheduler {name!r}"[:200],
            cause=f"diffusers {diffusers.__version__}",
            next_step=f"write {closest(name, known)}, or none for the model's own",
        )
    return getattr(diffusers, name)


def set_scheduler(pipeline: Pipeline, scheduler: SchedulerClass | None) -> None:
    """Has a pipeline step with another scheduler, made from its own one's configuration.

    Raises:
        RequestError: The scheduler cannot be made from it.
    """
    if scheduler is None:
        return
    try:
        pipeline.scheduler = scheduler.from_config(pipeline.scheduler.config)
    except Exception as error:
        said = first_line(error)
        raise RequestError(
            f"{scheduler.__name__} does not go with this model",
            cause=f"{type(error).__name__}: {said}",
            next_step="use --scheduler none for the model's own, or DPMSolverMultistepScheduler",
        ) from error


def fewest_steps(loaded: LoadedPipeline) -> int:
    """The fewest steps that the stock pipeline makes an image in.

    In one step that of alpha takes a second output of its scheduler, which solvers do not give.
    """
    if loaded.family != "alpha":
        return 1
    own = loaded.pipeline.scheduler
    scheduler = type(own).from_config(own.config)
    scheduler.set_timesteps(1)
    latents = torch.zeros(1, 1, 2, 2)
    outputs = scheduler.step(latents, scheduler.timesteps[0], latents, return_dict=False)
    return 1 if len(outputs) > 1 else 2
