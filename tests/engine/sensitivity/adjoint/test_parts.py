"""Forward and decoder in parts against the stock ones, bit for bit; gradients against autograd."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sampling import decode
from pixart_tui.engine.sensitivity.adjoint.parts import Call, decoder_parts
from pixart_tui.engine.sensitivity.adjoint.passes import Pass
from pixart_tui.engine.sensitivity.adjoint.pulling import TransformerAdjoint, chained, pull_through
from pixart_tui.engine.sensitivity.adjoint.taps import Taps

_MODELS = ("synthetic:alpha-tiny", "synthetic:sigma-tiny", "pixart-emoji")
_TOKENS = 7
_NOTHING = (parse_quant_type("int8_dynamic"), BatchLayout(2, 1))
"""No layer below can be quantized to it, so that no error is added."""


def _pipeline(name: str, dtype: torch.dtype = torch.float32) -> Any:
    return load_pipeline(name, dtype=dtype, device=torch.device("cpu")).pipeline


def _call(model: Any, images: int = 3, dtype: torch.dtype = torch.float32) -> Call:
    generator = torch.Generator().manual_seed(0)
    config, rows = model.config, 2 * images
    mask = torch.ones(rows, _TOKENS, dtype=dtype)
    mask[::2, 4:] = 0
    told = model.use_additional_conditions
    latents = torch.randn(rows, config.in_channels, 6, 8, generator=generator)
    embeds = torch.randn(rows, _TOKENS, config.caption_channels, generator=generator)
    return Call(
        latents=latents.to(dtype),
        timesteps=torch.arange(rows) * 90,
        embeds=embeds.to(dtype),
        mask=mask,
        micro={
            "resolution": torch.tensor([[64.0, 96.0]] * rows, dtype=dtype) if told else None,
            "aspect_ratio": torch.tensor([[0.7]] * rows, dtype=dtype) if told else None,
        },
    )


def _stock(model: Any, call: Call) -> Tensor:
    prediction: Tensor = model(
        call.latents,
        encoder_hidden_states=call.embeds,
        encoder_attention_mask=call.mask,
        timestep=call.timesteps,
        added_cond_kwargs=dict(call.micro),
        return_dict=False,
    )[0]
    return prediction


def _adjoint(model: Any) -> TransformerAdjoint:
    """The transformer with taps at every linear, none of which is quantized."""
    model.requires_grad_(False)
    named = model.named_modules()
    linears = [fqn for fqn, module in named if isinstance(module, torch.nn.Linear)]
    taps = Taps(model, dict.fromkeys(linears, ()), (), Execution.SIMULATED)
    return TransformerAdjoint(model, taps)


@pytest.mark.parametrize("name", _MODELS)
@torch.no_grad()
def test_the_parts_give_the_bits_of_the_whole(name: str) -> None:
    model = _pipeline(name).transformer
    call = _call(model)
    expected = _stock(model, call)
    trace = _adjoint(model).forward(call, call.latents, _NOTHING, keep_hidden_states=True)
    assert torch.equal(trace.prediction, expected)
    assert torch.equal(trace.joint, expected)
    assert len(trace.hidden_states) == model.config.num_layers + 1
    assert trace.segments == []


@pytest.mark.parametrize("at_once", [1, 3, 4])
@pytest.mark.parametrize("kept", [False, True])
@pytest.mark.parametrize("name", _MODELS[:2])
def test_cotangents_of_the_latents_are_autograds(name: str, kept: bool, at_once: int) -> None:
    model = _pipeline(name, torch.float64).transformer.requires_grad_(False)
    call = _call(model, images=1, dtype=torch.float64)
    leaf = call.latents.clone().requires_grad_()
    prediction = _stock(model, replace(call, latents=leaf))
    generator = torch.Generator().manual_seed(1)
    cotangents = torch.randn(4, *prediction.shape, generator=generator, dtype=torch.float64)
    expected = [torch.autograd.grad(prediction, leaf, x, retain_graph=True)[0] for x in cotangents]
    adjoint = _adjoint(model)
    found = Pass(BatchLayout(2, 1), torch.empty(1, 4, 0, 0))
    trace = adjoint.forward(call, call.latents, _NOTHING, keep=found if kept else None)
    assert bool(trace.segments) == kept
    pulled = adjoint.pull(call, trace, cotangents, found, at_once)
    assert trace.segments == []
    torch.testing.assert_close(pulled, torch.stack(expected))


@pytest.mark.parametrize("name", _MODELS)
@torch.no_grad()
def test_the_decoders_parts_give_its_bits(name: str) -> None:
    pipeline = _pipeline(name)
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(2, pipeline.vae.config.latent_channels, 4, 6, generator=generator)
    image = latents
    for part in decoder_parts(pipeline.vae):
        image = part(image)
    assert torch.equal(image, decode(pipeline, latents))
    assert torch.equal(chained(decoder_parts(pipeline.vae))[0](latents), image)


@pytest.mark.parametrize("whole", [False, True])
def test_cotangents_go_through_a_chain_part_by_part(whole: bool) -> None:
    vae = _pipeline("synthetic:sigma-tiny", torch.float64).vae.requires_grad_(False)
    parts = decoder_parts(vae)
    generator = torch.Generator().manual_seed(3)
    start = torch.randn(1, 4, 4, 6, generator=generator, dtype=torch.float64)
    leaf = start.clone().requires_grad_()
    image = leaf
    for part in parts:
        image = part(image)
    cotangents = torch.randn(3, *image.shape, generator=generator)
    expected = [torch.autograd.grad(image, leaf, x, retain_graph=True)[0] for x in cotangents]
    pulled = pull_through(chained(parts) if whole else parts, start, cotangents)
    torch.testing.assert_close(pulled, torch.stack(expected), rtol=1e-6, atol=1e-9)
