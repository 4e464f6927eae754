"""Effects against finite differences, in float64, with a smooth change of a layer's output.

Rounding has no derivative, so the local errors are replaced: what goes back through the decoder,
the sampler and the transformer is the real thing. Functionals and effects are float32, and the
functional's image is, which leaves 1e-6 or so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest
import torch
from torch import Tensor

from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.engine.sensitivity.adjoint import attention, taps
from pixart_tui.engine.sensitivity.adjoint.functional import draw_generator, functional_gradients
from pixart_tui.engine.sensitivity.rendering import Batch, Renderer, Sample
from tests.engine.sensitivity.adjoint.models import (
    ALPHA,
    SAMPLES,
    SIGMA,
    WHOLE,
    SmoothAttentionError,
    SmoothError,
    attentions,
    backward,
    image_of,
    injected,
    injected_attention,
    linears,
    renderer,
    totals,
)

_DRAWS: Final = 2
_PLACES: Final = (
    "transformer_blocks.0.attn1.to_q",
    "transformer_blocks.1.attn1.to_out.0",
    "transformer_blocks.1.attn2.to_k",
    "transformer_blocks.0.ff.net.2",
    "caption_projection.linear_1",
    "adaln_single.emb.timestep_embedder.linear_1",
    "adaln_single.linear",
    "proj_out",
)
_SIZES: Final = (
    "adaln_single.emb.resolution_embedder.linear_1",
    "adaln_single.emb.aspect_ratio_embedder.linear_2",
)
_FEW: Final = (
    "transformer_blocks.0.attn1.to_v",
    "transformer_blocks.1.attn2.to_k",
    "adaln_single.linear",
    "proj_out",
)

_UNCLIPPED: Final = {"clip_sample": False}
# Class, what is configured besides, steps, and whether it computes in float32 whatever it is given:
# then the differences are of images with errors of 1e-7.
_SCHEDULERS: Final[Mapping[str, tuple[str, Mapping[str, Any], int, bool]]] = {
    "dpm++": ("DPMSolverMultistepScheduler", {}, 4, True),
    "dpm++ sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}, 3, True),
    "dpm++ single": ("DPMSolverSinglestepScheduler", {}, 3, True),
    "euler": ("EulerDiscreteScheduler", {}, 3, True),
    "euler ancestral": ("EulerAncestralDiscreteScheduler", {}, 3, True),
    "ddim": ("DDIMScheduler", _UNCLIPPED, 3, False),
    "ddim clipped": ("DDIMScheduler", {"clip_sample": True}, 3, False),
    "ddpm": ("DDPMScheduler", _UNCLIPPED, 3, True),
    "lcm": ("LCMScheduler", {}, 3, True),
    "heun": ("HeunDiscreteScheduler", {}, 3, False),
    "kdpm2": ("KDPM2DiscreteScheduler", {}, 2, False),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}, 4, False),
    "pndm prk": ("PNDMScheduler", {}, 4, False),
    "unipc": ("UniPCMultistepScheduler", {}, 4, False),
    "lms": ("LMSDiscreteScheduler", {}, 4, False),
    "deis": ("DEISMultistepScheduler", {}, 3, False),
    "sa": ("SASolverScheduler", {"algorithm_type": "data_prediction"}, 3, True),
    "tcd": ("TCDScheduler", {}, 3, False),
}


@pytest.fixture(autouse=True)
def _smooth_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taps, "LocalError", SmoothError)
    monkeypatch.setattr(attention, "AttentionError", SmoothAttentionError)


def _functionals(images: Tensor, samples: Sequence[Sample]) -> Tensor:
    """Of each image and draw the gradient, (n, draws, 3, height, width), float64."""
    cpu = torch.device("cpu")
    return torch.stack(
        [
            functional_gradients(
                image.float(),
                [draw_generator(sample.prompt, sample.seed, k, cpu) for k in range(_DRAWS)],
            ).double()
            for image, sample in zip(images, samples, strict=True)
        ]
    )


def _differences(
    made: Renderer, batch: Batch, target: str, functionals: Tensor, epsilon: float
) -> Tensor:
    """How the functionals change with the error of a layer or an attention, (n, draws)."""
    images = []
    inject = injected_attention if target.endswith(".attn1") else injected
    for signed in (epsilon, -epsilon):
        with inject(made.transformer, target, signed):
            images.append(image_of(made, batch))
    change = (images[0] - images[1]) / (2 * epsilon)
    return (functionals * change[:, None]).flatten(2).sum(2)


def _check(
    made: Renderer, layers: Sequence[str], *, epsilon: float = 1e-3, tolerance: float = 2e-4
) -> None:
    samples = made.settings.samples
    found = backward(made, layers, draws=_DRAWS).measure(samples, WHOLE)
    effects = torch.stack([totals(result.effects) for result in found])
    batch = made.prepare(samples)
    functionals = _functionals(image_of(made, batch), samples)
    for layer in layers:
        at = linears(made).index(layer)
        expected = _differences(made, batch, layer, functionals, epsilon)
        size = float(expected.abs().max())
        assert size > 1e-5, f"{layer} does nothing"
        error = float((effects[:, :, at] - expected).abs().max()) / size
        assert error < tolerance, f"{layer} is off by {error:.1e} of it"


@pytest.mark.parametrize("name", _SCHEDULERS)
def test_every_scheduler_is_differentiated_as_it_steps(name: str) -> None:
    kind, config, steps, rounds = _SCHEDULERS[name]
    made = renderer(scheduler=kind, config=config, num_inference_steps=steps, samples=SAMPLES[:1])
    if rounds:
        _check(made, _FEW, epsilon=5e-3, tolerance=3e-3)
    else:
        # What is cut off at a limit must not cross it.
        _check(made, _FEW, epsilon=1e-6 if config.get("clip_sample") else 1e-3)


@pytest.mark.parametrize("guidance", [0.0, 1.0, 4.5])
@pytest.mark.parametrize("model", [SIGMA, ALPHA])
def test_every_kind_of_layer_at_every_guidance(model: str, guidance: float) -> None:
    places = (*_PLACES, *_SIZES) if model == ALPHA else _PLACES
    _check(
        renderer(model, scheduler="DDIMScheduler", config=_UNCLIPPED, guidance_scale=guidance),
        places,
    )


@pytest.mark.parametrize("plan", [{}, {"keeps_graphs": True}, {"draws": 1}], ids=str)
@pytest.mark.parametrize("guidance", [1.0, 4.5])
@pytest.mark.parametrize("model", [SIGMA, ALPHA])
def test_the_attention_of_every_block(model: str, guidance: float, plan: dict[str, Any]) -> None:
    made = renderer(model, scheduler="DDIMScheduler", config=_UNCLIPPED, guidance_scale=guidance)
    samples, names = made.settings.samples, attentions(made)
    measuring = backward(made, [], draws=_DRAWS, attention=dict.fromkeys(names, True))
    found = measuring.measure(samples, WHOLE.replace(**plan))
    effects = torch.stack([totals(result.effects, FP8_ATTENTION) for result in found])
    made = renderer(model, scheduler="DDIMScheduler", config=_UNCLIPPED, guidance_scale=guidance)
    batch = made.prepare(samples)
    functionals = _functionals(image_of(made, batch), samples)
    for at, name in enumerate(names):
        expected = _differences(made, batch, name, functionals, 1e-3)
        size = float(expected.abs().max())
        assert size > 1e-5, f"{name} does nothing"
        error = float((effects[:, :, at] - expected).abs().max()) / size
        assert error < 2e-4, f"{name} is off by {error:.1e} of it"


def test_a_model_of_one_step_ends_on_the_denoised_sample() -> None:
    changes: dict[str, Any] = {"num_inference_steps": 1, "timesteps": (400,)}
    made = renderer(ALPHA, scheduler="DDPMScheduler", guidance_scale=0.0, **changes)
    _check(made, _FEW, epsilon=5e-3, tolerance=3e-3)


def test_pixels_that_are_cut_off_pass_nothing_on() -> None:
    made = renderer(scheduler="DDIMScheduler", config=_UNCLIPPED, contrast=3.0)
    image = image_of(made, made.prepare(SAMPLES))
    assert 0.1 < float(((image == 0) | (image == 1)).double().mean()) < 0.9
    _check(made, _FEW, epsilon=1e-6)


def test_errors_that_scale_give_effects_that_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    made = renderer(scheduler="DDIMScheduler", config=_UNCLIPPED)
    once = backward(made, _FEW).measure(SAMPLES, WHOLE)
    monkeypatch.setattr(SmoothError, "scale", 3.0)
    thrice = backward(renderer(scheduler="DDIMScheduler", config=_UNCLIPPED), _FEW).measure(
        SAMPLES, WHOLE
    )
    for one, three in zip(once, thrice, strict=True):
        tripled = 3 * totals(one.effects)
        torch.testing.assert_close(
            totals(three.effects), tripled, rtol=1e-5, atol=1e-6, equal_nan=True
        )
