"""The measures of full-size PixArt, taken on the meta device: shapes without weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pixart_tui.domain.deploying.deployment import Deployment, MemoryOptions
from pixart_tui.domain.deploying.memory_plan import MemoryParts, choose_memory, estimate_peak_bytes
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.memory import apply_memory_options, settle_budget
from pixart_tui.engine.memory.parts import memory_parts

_GIB = 2**30


def _parts(model: str, **changes: object) -> MemoryParts:
    loaded = load_pipeline(model, dtype=torch.bfloat16, device=torch.device("meta"))
    options = {"height": 1024, "width": 1024, "text_tokens": 120, "guidance": True} | changes
    return memory_parts(loaded.pipeline, **options)  # type: ignore[arg-type]


def test_the_weights_of_alpha_are_those_that_are_published() -> None:
    parts = _parts("synthetic:alpha")
    text_encoder_bytes = parts.blocks * parts.block_bytes + parts.text_encoder_rest_bytes
    assert text_encoder_bytes / _GIB == pytest.approx(8.87, abs=0.02)
    assert parts.block_8bit_bytes / parts.block_bytes == pytest.approx(0.5, abs=0.001)
    assert parts.transformer_bytes / _GIB == pytest.approx(1.14, abs=0.02)
    assert parts.vae_bytes / _GIB == pytest.approx(0.16, abs=0.01)


def test_the_stock_peak_is_what_was_measured_on_an_h100() -> None:
    estimated = estimate_peak_bytes(_parts("synthetic:alpha"), MemoryOptions())
    assert estimated / _GIB == pytest.approx(12.6, abs=0.6)


def test_six_gib_take_int8_strips_and_few_host_blocks() -> None:
    """Every layer of the blocks quantized leaves less to move to the host."""
    loaded = load_pipeline(
        "synthetic:alpha", dtype=torch.bfloat16, device=torch.device("meta")
    ).pipeline
    blocks = loaded.transformer.transformer_blocks.named_modules(prefix="transformer_blocks")
    linears = [name for name, module in blocks if isinstance(module, nn.Linear)]
    plain = choose_memory(_parts("synthetic:alpha"), 6 * _GIB)
    quantized = choose_memory(_parts("synthetic:alpha", quantized=linears), 6 * _GIB)
    assert plain.text_encoder_8bit
    assert plain.vae == "strips"
    assert 0 < quantized.text_encoder_host_blocks < plain.text_encoder_host_blocks < 12


def test_kept_steps_take_the_weights_of_what_is_quantized_besides() -> None:
    pipeline = load_pipeline(
        "synthetic:alpha", dtype=torch.bfloat16, device=torch.device("meta")
    ).pipeline
    layers = ("transformer_blocks.0.ff.net.2", "transformer_blocks.0.attn2.to_k")
    call = {"height": 1024, "width": 1024, "text_tokens": 120, "guidance": True}
    peaks = []
    for kept in (KeptSteps(), KeptSteps(last=1)):
        deployment = Deployment(choice=Choice.of_one("int8_dynamic", layers, kept))
        settled = settle_budget(pipeline, deployment, 80 * _GIB, **call)  # type: ignore[arg-type]
        peaks.append(settled.peak_bytes)
    # to_k depends on the text alone: it is quantized at every step and there once.
    assert peaks[1] - peaks[0] == pipeline.transformer.get_submodule(layers[0]).weight.nbytes


def test_guidance_and_size_take_more() -> None:
    usual = _parts("synthetic:sigma")
    alone = _parts("synthetic:sigma", guidance=False)
    assert alone.encode_bytes < usual.encode_bytes
    assert alone.denoise_bytes < usual.denoise_bytes
    larger = _parts("synthetic:sigma", height=2048)
    assert all(larger.decode_bytes[way] > usual.decode_bytes[way] for way in ("whole", "strips"))
    assert usual.decode_bytes["tiled"] < usual.decode_bytes["strips"] < usual.decode_bytes["whole"]


def test_weights_are_counted_as_they_are(tiny: LoadedPipeline) -> None:
    """What the plan says of int8 is what quantizing leaves."""
    call = {"height": 64, "width": 64, "text_tokens": 16, "guidance": True}
    pipeline = tiny.pipeline
    before = memory_parts(pipeline, **call)  # type: ignore[arg-type]
    apply_memory_options(pipeline, MemoryOptions(text_encoder_8bit=True), torch.device("cpu"))
    block = pipeline.text_encoder.encoder.block[0]
    now_bytes = sum(tensor.nbytes for tensor in (*block.parameters(), *block.buffers()))
    assert now_bytes == before.block_8bit_bytes
