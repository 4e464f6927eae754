"""How much an error of one noise prediction comes out in the final latents, found by trying."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixart_tui.domain.probing import ProbeRow, Stability
from pixart_tui.engine.sensitivity.rendering import Renderer, Sample
from pixart_tui.engine.sensitivity.trajectories import Trajectories

_STEPS_FROM_END: Final = (1, 2, 3, 5, 10, 15)
_RELATIVE_SIZE: Final = 0.02
"""Of a disturbance, to the prediction: above bfloat16's rounding, below what saturates."""
_TINY: Final = 1e-30
_FORKING: Final = 1.5
"""Expansion from which on a trajectory forks; see ``Stability``."""

Floats = npt.NDArray[np.float64]
Disturbed = Callable[[ProbeRow], Tensor]


@dataclass(frozen=True, slots=True)
class Amplification:
    """What was tried, interpolated over the steps.

    Attributes:
        gains: Root mean square of the final latents' change for each unit of a step's error,
            (steps,), over the samples.
        shares: The part that each step has in the change that one layer makes, (samples, steps);
            each row sums to 1.
        expansions: Of each sample, the gain at the step where it is largest beside what the
            scheduler alone makes of an error there, (samples,).
        forwards: Transformer calls that it took, in calls for one image.
    """

    gains: tuple[float, ...]
    shares: Floats
    expansions: Floats
    forwards: float

    @property
    def anchor(self) -> int:
        """The step with the largest part, in the median sample."""
        return int(np.median(self.shares, axis=0).argmax())

    def stability(self, guidance_scale: float) -> Stability:
        """Trajectories fork where the model adds to an error instead of correcting it."""
        worst = float(self.expansions.max())
        return Stability(
            forks=worst > _FORKING,
            expansion=float(np.median(self.expansions)),
            worst_expansion=worst,
            guidance_scale=guidance_scale,
        )


def amplification(
    renderer: Renderer,
    trajectories: Trajectories,
    samples: Sequence[Sample],
    quantized: Callable[[Sequence[ProbeRow]], Tensor],
) -> Amplification:
    """Disturbs single steps of known trajectories and follows them to the end.

    Args:
        renderer: Nothing in its model is quantized.
        trajectories: Of the samples at least.
        samples: Which trajectories.
        quantized: The guided predictions of rows with one layer quantized, (rows, ...), float32.
    """
    steps = renderer.settings.num_inference_steps
    tried = sorted({max(steps - back, 0) for back in _STEPS_FROM_END})
    batch = renderer.prepare(tuple(samples))
    known = [_predictions(trajectories, samples, step) for step in range(steps)]
    known = [x.to(batch.conditioning.prompt_embeds.device) for x in known]
    end = renderer.trajectory(batch, known=known)
    sizes, gains, alone = [], [], []
    for step in tried:
        rows = [ProbeRow(prompt=s.prompt, seed=s.seed, step=step) for s in samples]
        error = quantized(rows) - known[step][:, : batch.noise.shape[1]].float()
        disturbed, added = _disturbed(known[step], error)
        before, after = [*known[:step], disturbed], known[step + 1 :]
        changes = (renderer.trajectory(batch, known=x) - end for x in (before, before + after))
        gain, scheduler = (_rms(x) / np.maximum(_rms(added), _TINY) for x in changes)
        sizes.append(_rms(error))
        gains.append(gain)
        alone.append(scheduler)
    # At the last step there is no later prediction that could answer.
    ratios = np.array(gains) / np.maximum(np.array(alone), _TINY)
    expansions = ratios[:-1].max(axis=0) if len(tried) > 1 else ratios[0]
    return _interpolated(np.array(gains), np.array(sizes), expansions, tried, steps)


def _disturbed(prediction: Tensor, error: Tensor) -> tuple[Tensor, Tensor]:
    """A prediction with an error of the size that is tried, and what was added to it."""
    channels = error.shape[1]
    undisturbed = prediction[:, :channels].float()
    scale = _RELATIVE_SIZE * _rms(undisturbed) / np.maximum(_rms(error), _TINY)
    added = error * torch.from_numpy(scale).to(error).view(-1, 1, 1, 1)
    disturbed = prediction.clone()
    disturbed[:, :channels] += added.to(prediction.dtype)
    # What is left of it in the prediction's dtype.
    return disturbed, disturbed[:, :channels].float() - undisturbed


def _interpolated(
    gains: Floats, sizes: Floats, expansions: Floats, tried: Sequence[int], steps: int
) -> Amplification:
    every = np.arange(steps)
    mean = np.sqrt(np.square(gains).mean(axis=1))
    logs = np.log(np.maximum(gains * sizes, _TINY)).T
    effects = np.exp(2 * np.stack([np.interp(every, tried, row) for row in logs]))
    gain_logs = np.interp(every, tried, np.log(np.maximum(mean, _TINY)))
    calls = sum(steps - step for step in tried)
    return Amplification(
        gains=tuple(np.exp(gain_logs).tolist()),
        shares=effects / effects.sum(axis=1, keepdims=True),
        expansions=expansions,
        forwards=float(calls * gains.shape[1]),
    )


def _predictions(trajectories: Trajectories, samples: Sequence[Sample], step: int) -> Tensor:
    return torch.cat([trajectories.steps[sample][step].prediction for sample in samples])


def _rms(x: Tensor) -> Floats:
    found: Floats = x.double().square().flatten(1).mean(dim=1).sqrt().cpu().numpy()
    return found
