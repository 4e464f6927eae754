"""Training against a clock: learning rates and a moving average of the weights."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import nn

PRINT_EVERY = 100


def cosine(progress: float, warmup: float = 0.02) -> float:
    """Rise over `warmup`, then fall to zero along a cosine."""
    if progress < warmup:
        return progress / warmup
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (progress - warmup) / (1 - warmup))))


def constant_then_decay(progress: float, warmup: float = 0.01, hold: float = 0.6) -> float:
    """Rise over `warmup`, stay until `hold`, then fall linearly to zero."""
    if progress < warmup:
        return progress / warmup
    return min(1.0, max(0.0, (1 - progress) / (1 - hold)))


@dataclass
class Clock:
    """Counts the steps of a stage that ends after so many seconds."""

    seconds: float
    device: torch.device
    step: int = 0
    started: float = field(default_factory=time.monotonic)

    def elapsed(self) -> float:
        """Return the seconds since the stage began."""
        return time.monotonic() - self.started

    def steps(self) -> Iterator[float]:
        """Yield the progress, from 0 to 1, before each step until time is up."""
        while (progress := self.elapsed() / self.seconds) < 1:
            yield progress
            self.step += 1
            if self.device.type == "cuda" and self.step % 20 == 0:
                # Launches run ahead of the GPU; the clock must not.
                torch.cuda.synchronize(self.device)

    def report(self, name: str, loss: torch.Tensor) -> None:
        """Print the loss now and then."""
        if self.step % PRINT_EVERY == 0:
            print(f"{name} {self.elapsed():6.0f} s  step {self.step:6d}  loss {loss.item():.4f}")


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group."""
    for group in optimizer.param_groups:
        group["lr"] = rate


class MovingAverage:
    """An exponential moving average of a module's parameters."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.live = list(module.parameters())
        self.average = [value.detach().clone() for value in self.live]
        self.decay = decay

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the weights, faster while `step` is small."""
        decay = min(self.decay, (1 + step) / (10 + step))
        live = [value.detach() for value in self.live]
        torch._foreach_lerp_(self.average, live, 1 - decay)

    @torch.no_grad()
    def apply(self) -> None:
        """Copy the average into the module."""
        torch._foreach_copy_([value.detach() for value in self.live], self.average)
