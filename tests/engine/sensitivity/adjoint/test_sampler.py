"""The sampler's graph alone, with a transformer that is a plain function."""

from __future__ import annotations

from typing import Any, Final

import diffusers
import pytest
import torch
from torch import Tensor

from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.schedule import Schedule
from pixart_tui.engine.sensitivity.adjoint.sampler import SamplerGraph

_CPU: Final = torch.device("cpu")
_SHAPE: Final = (2, 4, 4, 6)
_SEEDS: Final = (3, 4)


def _pipeline(kind: str, **config: Any) -> Any:
    pipeline = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=_CPU).pipeline
    own = pipeline.scheduler.config
    pipeline.scheduler = getattr(diffusers, kind).from_config(own, **config)
    return pipeline


def _schedule(pipeline: Any, steps: int) -> Schedule:
    return Schedule(pipeline, steps, seeds=_SEEDS, shape=_SHAPE, device=_CPU)


def _noise() -> Tensor:
    return torch.randn(_SHAPE, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def _predict(inputs: Tensor, call: int) -> Tensor:
    """Noise and, as PixArt's transformer gives it too, a sigma that nobody uses."""
    noise = torch.tanh((0.3 + 0.1 * call) * inputs)
    return torch.cat([noise, torch.ones_like(noise)], 1)


def _sample(schedule: Schedule, noise: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Final latents, inputs and predictions."""
    latents = noise * schedule.init_noise_sigma
    inputs, predictions = [], []
    for call in range(len(schedule)):
        inputs.append(schedule.inputs(latents, call))
        predictions.append(_predict(inputs[-1], call))
        latents = schedule.step(predictions[-1], call, latents)
    return latents, inputs, predictions


@pytest.mark.parametrize(
    ("kind", "steps"),
    [
        ("UniPCMultistepScheduler", 5),
        ("LMSDiscreteScheduler", 6),
        ("PNDMScheduler", 5),
        ("HeunDiscreteScheduler", 3),
        ("DPMSolverMultistepScheduler", 5),
        ("EulerAncestralDiscreteScheduler", 4),
        ("DDPMScheduler", 4),
    ],
)
def test_cotangents_of_the_predictions_are_autograds(kind: str, steps: int) -> None:
    """Through all later calls, however far the scheduler looks back."""
    pipeline = _pipeline(kind)
    leaf = _noise().requires_grad_()
    final, inputs, predictions = _sample(_schedule(pipeline, steps), leaf)
    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(_SHAPE, generator=generator, dtype=torch.float64)
    expected = torch.autograd.grad(final, predictions, cotangent)
    graph = SamplerGraph(_schedule(pipeline, steps), _noise(), predictions)
    torch.testing.assert_close(graph.final_latents, final.detach(), rtol=1e-5, atol=1e-5)
    called: list[int] = []

    def pull(call: int, of_prediction: Tensor) -> Tensor:
        called.append(call)
        torch.testing.assert_close(graph.inputs(call), inputs[call].detach(), rtol=1e-5, atol=1e-5)
        # Many schedulers round to float32.
        torch.testing.assert_close(of_prediction, expected[call], rtol=1e-4, atol=1e-5)
        at = graph.inputs(call).requires_grad_()
        (pulled,) = torch.autograd.grad(_predict(at, call), at, of_prediction)
        return pulled

    graph.pull(cotangent, pull)
    assert called == list(reversed(range(len(predictions))))
    # PNDM leaves one of its calls unused in the end.
    assert sum(bool(x[:, :4].any()) for x in expected) >= len(expected) - 1
    assert all(not x[:, 4:].any() for x in expected)
