"""Iteration speed as the seed computes it: from step-end events of the pipeline."""

from __future__ import annotations

import time
from typing import Generic, Protocol, TypeVar

import torch

Mark = TypeVar("Mark")


class Clock(Protocol[Mark]):
    """Takes marks and tells the time between two of them."""

    def mark(self) -> Mark:
        """Notes this moment."""
        ...

    def elapsed_s(self, first: Mark, last: Mark) -> float:
        """Seconds from one mark to another; waits for them if it has to."""
        ...


class WallClock:
    """The processor's own clock; right where calls return only when the work is done."""

    def mark(self) -> float:
        """Now, in seconds."""
        return time.perf_counter()

    def elapsed_s(self, first: float, last: float) -> float:
        """Seconds from one mark to another."""
        return last - first


class CudaClock:
    """Events in the current CUDA stream: they mark the GPU's progress without waiting for it."""

    def mark(self) -> torch.cuda.Event:
        """An event after the work that is queued by now."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def elapsed_s(self, first: torch.cuda.Event, last: torch.cuda.Event) -> float:
        """Seconds of GPU time between two events; waits for the last one."""
        last.synchronize()
        return float(first.elapsed_time(last)) / 1000.0


class IterationTimer(Generic[Mark]):
    """The ``callback`` of a pipeline call: the first step's end starts the clock.

    With n steps, n - 1 of them are timed; text encoding, the first step and the decoding of the
    image are not part of the figure.
    """

    def __init__(self, clock: Clock[Mark]) -> None:
        self._clock = clock
        self._marks: list[Mark] = []

    def __call__(self, _step: int, _timestep: object, _latents: object) -> None:
        """Notes the end of a step."""
        self._marks.append(self._clock.mark())

    def iterations_per_s(self) -> float | None:
        """Steps per second after the first, None with fewer than two steps."""
        if len(self._marks) < 2:
            return None
        return (len(self._marks) - 1) / self._clock.elapsed_s(self._marks[0], self._marks[-1])


def timer_for(device: torch.device) -> IterationTimer[torch.cuda.Event] | IterationTimer[float]:
    """A fresh timer that suits a device."""
    return IterationTimer(CudaClock()) if device.type == "cuda" else IterationTimer(WallClock())


def synchronize(device: torch.device) -> None:
    """Waits until a device has done all its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
