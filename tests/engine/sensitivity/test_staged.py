"""The forward in parts against the stock forward, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from pixart_tui.domain.quant_types import parse_quant_type
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.apply import one_layer_quantized
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sensitivity.staged import Call, StagedTransformer, run_share, stage_of

_MODELS = ("synthetic:alpha-tiny", "synthetic:sigma-tiny", "pixart-emoji")
_TOKENS = 7


def _model(name: str) -> Any:
    device = torch.device("cpu")
    return load_pipeline(name, dtype=torch.float32, device=device).pipeline.transformer


def _call(model: Any, images: int = 3) -> Call:
    torch.manual_seed(0)
    config, rows = model.config, 2 * images
    # A model that is told the resolution is one of 1024 pixels: 16 times as many tokens a side.
    size = min(config.sample_size, 16)
    mask = torch.ones(rows, _TOKENS)
    mask[::2, 4:] = 0
    told = model.use_additional_conditions
    return Call(
        latents=torch.randn(rows, config.in_channels, size, size),
        timesteps=torch.arange(rows) * 90,
        embeds=torch.randn(rows, _TOKENS, config.caption_channels),
        mask=mask,
        micro={
            "resolution": torch.tensor([[64.0, 96.0]] * rows) if told else None,
            "aspect_ratio": torch.tensor([[0.7]] * rows) if told else None,
        },
    )


def _stock(model: Any, call: Call) -> torch.Tensor:
    prediction: torch.Tensor = model(
        call.latents,
        encoder_hidden_states=call.embeds,
        encoder_attention_mask=call.mask,
        timestep=call.timesteps,
        added_cond_kwargs=dict(call.micro),
        return_dict=False,
    )[0]
    return prediction


@pytest.mark.parametrize("name", _MODELS)
@torch.no_grad()
def test_the_parts_give_the_bits_of_the_whole(name: str) -> None:
    model = _model(name)
    call = _call(model)
    assert torch.equal(StagedTransformer(model).whole(call), _stock(model, call))


@pytest.mark.parametrize(
    "quant_type", ["fp8_e4m3_e4m3_dynamic", "fp8_e4m3_e4m3_dynamic_per_tensor"]
)
@pytest.mark.parametrize("name", _MODELS)
@torch.no_grad()
def test_starting_at_a_layers_block_gives_the_bits_of_the_whole(name: str, quant_type: str) -> None:
    model = _model(name)
    call, staged = _call(model), StagedTransformer(model)
    hidden, around = staged.begin(call)
    for block in range(staged.depth):
        for part in ("attn1.to_q", "attn2.to_k", "ff.net.2"):
            fqn = f"transformer_blocks.{block}.{part}"
            layout = BatchLayout(2, 3)
            with one_layer_quantized(model, fqn, parse_quant_type(quant_type), layout):
                assert torch.equal(staged.from_block(block, hidden, around), _stock(model, call))
        hidden = staged.block(block, hidden, around)
    with one_layer_quantized(model, "proj_out", parse_quant_type(quant_type), BatchLayout(2, 3)):
        assert torch.equal(staged.finish(hidden, around), _stock(model, call))


def test_where_a_layer_first_matters() -> None:
    assert stage_of("caption_projection.linear_1", 8) == -1
    assert stage_of("transformer_blocks.5.ff.net.2", 8) == 5
    assert stage_of("proj_out", 8) == 8
    shares = [run_share(fqn, 8) for fqn in ("adaln_single.linear", "transformer_blocks.6.x")]
    assert (*shares, run_share("proj_out", 8)) == (1.0, 0.25, 0.0)
