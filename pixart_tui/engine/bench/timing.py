"""Iteration speed from step-end events, as OneDiff's script has it, and the transformer alone."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import torch

from pixart_tui.engine.bench.clock import Clock, CudaClock, WallClock
from pixart_tui.engine.bench.pace import StepPace
from pixart_tui.engine.typing import Pipeline

Mark = TypeVar("Mark")


class IterationTimer(Generic[Mark]):
    """The ``callback`` of a pipeline call: the first step's end starts the clock.

    With n steps, n - 1 of them are timed; text encoding, the first step and the decoding of the
    image are not part of the figure.

    Args:
        clock: What suits the device.
        pace: Called at each step; None for no calls.
    """

    def __init__(self, clock: Clock[Mark], pace: StepPace | None = None) -> None:
        self._clock = clock
        self._pace = pace
        self._marks: list[Mark] = []
        if pace is not None:
            pace.begin()

    def __call__(self, _step: int, _timestep: object, _latents: object) -> None:
        """Notes the end of a step."""
        self._marks.append(self._clock.mark())
        if self._pace is not None:
            self._pace.stepped(self._marks, self._clock)

    def finish(self) -> None:
        """Ends the timing of a call, once the device is idle."""
        if self._pace is not None:
            self._pace.stepped(self._marks, self._clock)

    def iterations_per_s(self) -> float | None:
        """Steps per second after the first, None with fewer than two steps."""
        if len(self._marks) < 2:
            return None
        return (len(self._marks) - 1) / self._clock.elapsed_s(self._marks[0], self._marks[-1])


class TimedModule(Generic[Mark]):
    """Stands in for a module that is called, and marks the moments before and after each call.

    Not a hook: ``module.compile()`` compiles a module's hooks with it, so that they would be
    traced, and break the graph. Nothing inside the module changes.
    """

    def __init__(self, module: Any, clock: Clock[Mark]) -> None:
        self._module = module
        self._clock = clock
        self._marks: list[tuple[Mark, Mark]] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the module."""
        before = self._clock.mark()
        output = self._module(*args, **kwargs)
        self._marks.append((before, self._clock.mark()))
        return output

    def __getattr__(self, name: str) -> Any:
        """Whatever else the module has."""
        return getattr(self._module, name)

    def median_s(self) -> float | None:
        """Seconds of one call, None if there was none."""
        if not self._marks:
            return None
        return statistics.median(self._clock.elapsed_s(*marks) for marks in self._marks)


@contextmanager
def timed_transformer(
    pipeline: Pipeline, device: torch.device
) -> Iterator[TimedModule[torch.cuda.Event] | TimedModule[float]]:
    """Times the calls of a pipeline's transformer while the context is open."""
    transformer = pipeline.transformer
    timed: TimedModule[torch.cuda.Event] | TimedModule[float]
    if device.type == "cuda":
        timed = TimedModule(transformer, CudaClock())
    else:
        timed = TimedModule(transformer, WallClock())
    # Past the pipeline's own __setattr__, which would write the class into its configuration.
    object.__setattr__(pipeline, "transformer", timed)
    try:
        yield timed
    finally:
        object.__setattr__(pipeline, "transformer", transformer)


def timer_for(
    device: torch.device, pace: StepPace | None = None
) -> IterationTimer[torch.cuda.Event] | IterationTimer[float]:
    """A fresh timer that suits a device."""
    if device.type == "cuda":
        return IterationTimer(CudaClock(), pace)
    return IterationTimer(WallClock(), pace)


def synchronize(device: torch.device) -> None:
    """Waits until a device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
