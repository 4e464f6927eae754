"""Training within a budget: learning rates and a moving average of the weights."""

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


@dataclass(frozen=True)
class Budget:
    """What a stage may spend: steps, seconds, or both, whichever are spent first."""

    seconds: float = math.inf
    steps: float = math.inf

    @property
    def empty(self) -> bool:
        """Whether there is nothing to spend."""
        return min(self.seconds, self.steps) <= 0

    def spent(self, seconds: float, steps: int) -> float:
        """Return the spent share: 1 when nothing is left."""
        return max(seconds / self.seconds, steps / self.steps)


@dataclass
class Clock:
    """Counts the steps of a stage until its budget is spent."""

    budget: Budget
    device: torch.device
    step: int = 0
    started: float = field(default_factory=time.monotonic)
    losses: list[torch.Tensor] = field(default_factory=list)

    def elapsed(self) -> float:
        """Return the seconds since the stage began."""
        return time.monotonic() - self.started

    def steps(self) -> Iterator[float]:
        """Count each step and yield the progress before it, from 0 to 1."""
        while (progress := self.budget.spent(self.elapsed(), self.step)) < 1:
            self.step += 1
            yield progress
            if self.device.type == "cuda" and self.step % 20 == 0:
                # Launches run ahead of the GPU; the clock must not.
                torch.cuda.synchronize(self.device)

    def report(self, name: str, loss: torch.Tensor) -> None:
        """Print the first loss, then now and then the mean of those since.

        Raises:
            FloatingPointError: The training has diverged.
        """
        self.losses.append(loss.detach())
        if self.step > 1 and self.step % PRINT_EVERY:
            return
        mean = torch.stack(self.losses).mean().item()
        self.losses.clear()
        print(f"{name} {self.elapsed():6.0f} s  step {self.step:6d}  loss {mean:.4f}", flush=True)
        if not math.isfinite(mean):
            raise FloatingPointError(f"{name}: the loss is {mean} at step {self.step}")


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
