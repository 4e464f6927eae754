"""The undisturbed trajectories: what each denoising step gets and gives."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor

from pixart_tui.engine.sampling import Observer
from pixart_tui.engine.sensitivity.rendering import Sample


@dataclass(frozen=True, slots=True)
class Step:
    """One denoising step of one sample, on the CPU.

    Attributes:
        timestep: The scheduler's, 0-dimensional.
        inputs: What the transformer gets, (1, channels, h, w).
        prediction: The guided noise prediction, (1, out channels, h, w).
    """

    timestep: Tensor
    inputs: Tensor
    prediction: Tensor


@dataclass(slots=True)
class Trajectories:
    """The steps of every sample, as they are observed.

    Attributes:
        steps: Of each sample, in order.
    """

    steps: dict[Sample, list[Step]] = field(default_factory=dict)

    def of(self, samples: tuple[Sample, ...]) -> Observer:
        """What observes a batch of these samples."""
        for sample in samples:
            self.steps[sample] = []

        def observe(_index: int, timestep: Tensor, inputs: Tensor, prediction: Tensor) -> None:
            time, given, got = (x.detach().cpu() for x in (timestep, inputs, prediction))
            for i, sample in enumerate(samples):
                self.steps[sample].append(Step(time, given[i : i + 1], got[i : i + 1]))

        return observe
