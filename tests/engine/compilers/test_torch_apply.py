"""The compiler ``torch`` on a CPU, for real: the tiny pipeline compiled and called."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from pixart_tui.domain.deploying.compiler_config import parse_compiler_config
from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.engine.compilers.torch_apply import apply_torch
from pixart_tui.engine.compilers.torch_plan import torch_plan
from pixart_tui.engine.loading.libraries import AutoencoderKL
from pixart_tui.engine.memory import apply_memory_options
from tests.engine.compilers.calls import image_of, loaded_on

_CPU = torch.device("cpu")
# The text has 16 tokens. On a CPU torch chooses a convolution by whether its input has more than
# 20,480 elements; these sizes are on the same side everywhere, as those of real models are.
_SIZES = ((96, 96), (64, 96), (96, 64), (96, 128))
_TOLERANCE = 1e-4


@pytest.fixture
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


def _compiled(config: str, memory: MemoryOptions | None = None) -> Any:
    pipeline = loaded_on(_CPU)
    apply_memory_options(pipeline, memory or MemoryOptions(), _CPU)
    plan = torch_plan(parse_compiler_config(config), _CPU)
    apply_torch(pipeline, plan, fp8_attention=False)
    return pipeline


def _is_compiled(module: torch.nn.Module) -> bool:
    return module._compiled_call_impl is not None


def _graphs() -> int:
    return int(counters["stats"]["unique_graphs"])


def _assert_like_eager(pipeline: Any, height: int, width: int, tokens: int = 16) -> None:
    actual = image_of(pipeline, height, width, tokens)
    expected = image_of(loaded_on(_CPU), height, width, tokens)
    torch.testing.assert_close(actual, expected, atol=_TOLERANCE, rtol=0.0)


def test_text_encoder_and_vae_are_compiled_and_every_name_is_kept() -> None:
    eager, pipeline = loaded_on(_CPU), _compiled("{}")
    assert all(_is_compiled(block) for block in pipeline.text_encoder.encoder.block)
    assert all(_is_compiled(block) for block in pipeline.transformer.transformer_blocks)
    assert _is_compiled(pipeline.vae.decoder)
    for part in ("transformer", "text_encoder", "vae"):
        assert list(getattr(pipeline, part).state_dict()) == list(getattr(eager, part).state_dict())


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous_format"])
def test_the_vae_has_the_memory_format(memory_format: str) -> None:
    pipeline = _compiled(f'{{"memory_format": "{memory_format}"}}')
    weight = pipeline.vae.decoder.conv_in.weight
    assert weight.is_contiguous(memory_format=getattr(torch, memory_format))


def test_what_memory_options_take_over_stays_eager() -> None:
    streamed = _compiled("{}", MemoryOptions(text_encoder_host_blocks=2))
    assert not any(_is_compiled(block) for block in streamed.text_encoder.encoder.block)
    assert _is_compiled(streamed.vae.decoder)
    stripped = _compiled("{}", MemoryOptions(vae="strips"))
    assert not _is_compiled(stripped.vae.decoder)


@pytest.mark.usefixtures("_fresh")
def test_dynamic_serves_every_size_with_the_graphs_of_the_first() -> None:
    pipeline = _compiled('{"mode": "default", "dynamic": true}')
    _assert_like_eager(pipeline, *_SIZES[0])
    # The first T5 block, which computes the position bias, the others, a block, the decoder.
    assert _graphs() == 4
    for height, width in _SIZES[1:]:
        _assert_like_eager(pipeline, height, width)
    _assert_like_eager(pipeline, *_SIZES[0], tokens=24)
    assert _graphs() == 4


@pytest.mark.usefixtures("_fresh")
def test_without_inductor_and_dynamic_another_size_is_compiled_again() -> None:
    pipeline = _compiled('{"mode": "disable-inductor"}')
    _assert_like_eager(pipeline, *_SIZES[0])
    assert _graphs() == 4
    assert counters["inductor"]["fxgraph_cache_miss"] == 0
    assert counters["inductor"]["fxgraph_cache_hit"] == 0
    _assert_like_eager(pipeline, *_SIZES[3])
    assert _graphs() == 6


@pytest.mark.usefixtures("_fresh")
def test_freezing_makes_the_decoder_s_weights_constants() -> None:
    pipeline = loaded_on(_CPU)
    # One level: the C++ of all four takes half a minute to compile.
    pipeline.vae = AutoencoderKL(block_out_channels=(16,), norm_num_groups=8).eval()
    latents = torch.randn(1, 4, 12, 12, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = pipeline.vae.decode(latents).sample
        plan = torch_plan(parse_compiler_config('{"mode": "freezing"}'), _CPU)
        apply_torch(pipeline, plan, fp8_attention=False)
        actual = pipeline.vae.decode(latents).sample
    torch.testing.assert_close(actual, expected, atol=_TOLERANCE, rtol=1e-4)
    # Only weights that are known are packed for oneDNN.
    assert counters["inductor"]["mkldnn_conv_weight_pack_matcher_count"] > 0


@pytest.mark.usefixtures("_fresh")
def test_quantized_blocks_are_compiled(tiny_int8: Any) -> None:
    expected = image_of(tiny_int8, 64, 64)
    plan = torch_plan(parse_compiler_config('{"mode": "quant:disable-inductor"}'), _CPU)
    apply_torch(tiny_int8, plan, fp8_attention=False)
    actual = image_of(tiny_int8, 64, 64)
    assert _graphs() >= 4
    torch.testing.assert_close(actual, expected, atol=1e-3, rtol=0.0)


@pytest.fixture
def tiny_int8() -> Any:
    from pixart_tui.domain.layers.quant_types import parse_quant_type
    from pixart_tui.engine.quant.apply import quantize_layers
    from pixart_tui.engine.quant.execution import Execution

    pipeline = loaded_on(_CPU)
    name = "transformer_blocks.{}.ff.net.2"
    chosen = dict.fromkeys((name.format(0), name.format(1)), parse_quant_type("int8_dynamic"))
    quantize_layers(pipeline.transformer, chosen, execution=Execution.REAL)
    return pipeline


def test_flags_of_the_plan_are_set_for_the_process() -> None:
    from dataclasses import replace

    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = (matmul.allow_tf32, cudnn.benchmark)
    plan = torch_plan(parse_compiler_config('{"mode": "default"}'), _CPU)
    flags = {"cuda.matmul.allow_tf32": True, "cudnn.benchmark": True}
    try:
        apply_torch(loaded_on(_CPU), replace(plan, flags=flags), fp8_attention=False)
        assert (matmul.allow_tf32, cudnn.benchmark) == (True, True)
    finally:
        matmul.allow_tf32, cudnn.benchmark = before
