"""Clocks that mark moments of a device's work: the processor's own, and CUDA's events."""

from __future__ import annotations

import time
from typing import Protocol, TypeVar

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

    def is_past(self, mark: Mark) -> bool:
        """Whether the work before a mark is done; waits for nothing."""
        ...


class WallClock:
    """The processor's own clock; right where calls return only when the work is done."""

    def mark(self) -> float:
        """Now, in seconds."""
        return time.perf_counter()

    def elapsed_s(self, first: float, last: float) -> float:
        """Seconds from one mark to another."""
        return last - first

    def is_past(self, mark: float) -> bool:
        """Always: the work is done when a call returns."""
        return True


class CudaClock:
    """Events in the current CUDA stream: they mark the GPU's progress without waiting for it."""

    def mark(self) -> torch.cuda.Event:
        """Records an event after the work that is queued so far."""
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def elapsed_s(self, first: torch.cuda.Event, last: torch.cuda.Event) -> float:
        """Seconds of GPU time between two events; waits for the last one."""
        last.synchronize()
        return float(first.elapsed_time(last)) / 1000.0

    def is_past(self, mark: torch.cuda.Event) -> bool:
        """Whether the stream has come so far."""
        return bool(mark.query())  # type: ignore[no-untyped-call]
