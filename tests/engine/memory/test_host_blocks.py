"""Blocks that wait in host memory against blocks that stay."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pixart_tui.domain.deploying import memory_plan
from pixart_tui.domain.deploying.memory_plan import staged_blocks
from pixart_tui.engine.loading import LoadedPipeline, load_pipeline
from pixart_tui.engine.memory.host_blocks import is_streamed, move_blocks_to_host
from pixart_tui.engine.memory.int8_linear import quantize_linears
from pixart_tui.engine.memory.one_pass import encode_in_one_pass

_CPU = torch.device("cpu")
_MIB = 2**20


@pytest.fixture
def emoji() -> LoadedPipeline:
    return load_pipeline("pixart-emoji", dtype=torch.float32, device=_CPU)


def _tokens(seed: int, device: str = "cpu", length: int = 12) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 97, (2, length), generator=generator).to(device)


@torch.no_grad()
def _encode(encoder: Any, ids: Tensor) -> Tensor:
    encoded: Tensor = encoder(ids, attention_mask=torch.ones_like(ids))[0]
    return encoded


@pytest.mark.parametrize("in_8_bits", [False, True])
@pytest.mark.parametrize("count", [1, 2, 3, 99])
@pytest.mark.parametrize("staging_bytes", [1, 2**30])
def test_every_prompt_encodes_to_the_same_bits(
    emoji: LoadedPipeline,
    monkeypatch: pytest.MonkeyPatch,
    in_8_bits: bool,
    count: int,
    staging_bytes: int,
) -> None:
    """With places for two blocks, so that they are used again, and with places for all."""
    monkeypatch.setattr(memory_plan, "STAGING_BYTES", staging_bytes)
    encoder = emoji.pipeline.text_encoder
    if in_8_bits:
        quantize_linears(encoder.encoder.block)
    expected = [_encode(encoder, _tokens(seed)) for seed in range(3)]
    assert not is_streamed(encoder)
    move_blocks_to_host(encoder, count, _CPU)
    assert is_streamed(encoder)
    for seed in (0, 1, 2, 0):
        assert torch.equal(_encode(encoder, _tokens(seed)), expected[seed])


def test_the_copies_are_what_computes(emoji: LoadedPipeline) -> None:
    encoder = emoji.pipeline.text_encoder
    move_blocks_to_host(encoder, 1, _CPU)
    weight = encoder.encoder.block[-1].layer[0].SelfAttention.q.weight
    home, seen = weight.data_ptr(), []
    encoder.encoder.block[-1].register_forward_pre_hook(lambda *_: seen.append(weight.data_ptr()))
    _encode(encoder, _tokens(0))
    assert seen != [home]
    assert weight.data_ptr() == home


def test_weights_keep_their_names_and_values(emoji: LoadedPipeline) -> None:
    encoder = emoji.pipeline.text_encoder
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    move_blocks_to_host(encoder, 2, _CPU)
    _encode(encoder, _tokens(0))
    after = encoder.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_an_error_in_a_block_leaves_the_encoder_whole(emoji: LoadedPipeline) -> None:
    encoder = emoji.pipeline.text_encoder
    expected = _encode(encoder, _tokens(0))
    move_blocks_to_host(encoder, 3, _CPU)

    def fail(*_: object) -> None:
        raise ZeroDivisionError

    handle = encoder.encoder.block[1].layer[0].register_forward_pre_hook(fail)
    with pytest.raises(ZeroDivisionError):
        _encode(encoder, _tokens(0))
    handle.remove()
    assert torch.equal(_encode(encoder, _tokens(0)), expected)


def test_no_block_is_no_stream(emoji: LoadedPipeline) -> None:
    move_blocks_to_host(emoji.pipeline.text_encoder, 0, _CPU)
    assert not is_streamed(emoji.pipeline.text_encoder)


def test_small_blocks_have_more_places_and_large_ones_two() -> None:
    assert staged_blocks(1, 400 * _MIB) == 1
    assert staged_blocks(9, 400 * _MIB) == 2
    assert staged_blocks(9, 184 * _MIB) == 3
    assert staged_blocks(3, 184 * _MIB) == 3


@pytest.mark.parametrize("negative", ["", "blurry", ["a", "b"]])
@pytest.mark.parametrize("images", [1, 2])
def test_one_pass_gives_what_two_give(
    tiny: LoadedPipeline, negative: str | list[str], images: int
) -> None:
    pipeline, calls = tiny.pipeline, []
    options: dict[str, Any] = {"max_sequence_length": 16, "num_images_per_prompt": images}
    arguments = (["robot", "red apple"], True)
    expected = pipeline.encode_prompt(*arguments, negative_prompt=negative, **options)
    encode_in_one_pass(pipeline)
    pipeline.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    actual = pipeline.encode_prompt(*arguments, negative_prompt=negative, **options)
    assert len(calls) == 1
    for one, two in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)


def test_what_needs_no_second_pass_is_left_to_the_pipeline(tiny: LoadedPipeline) -> None:
    pipeline = tiny.pipeline
    alone = pipeline.encode_prompt("robot", False, max_sequence_length=16)
    encode_in_one_pass(pipeline)
    again = pipeline.encode_prompt("robot", False, max_sequence_length=16)
    assert torch.equal(again[0], alone[0])
    assert again[2:] == (None, None)
    given = pipeline.encode_prompt(
        None,
        True,
        prompt_embeds=alone[0],
        prompt_attention_mask=alone[1],
        negative_prompt_embeds=alone[0],
        negative_prompt_attention_mask=alone[1],
    )
    assert torch.equal(given[2], alone[0])


@pytest.mark.gpu
@pytest.mark.parametrize("in_8_bits", [False, True])
def test_full_size_streaming_is_bit_equal_whatever_else_runs(in_8_bits: bool) -> None:
    cuda = torch.device("cuda")
    loaded = load_pipeline("synthetic:alpha", dtype=torch.bfloat16, device=cuda)
    encoder = loaded.pipeline.text_encoder
    loaded.pipeline.transformer = loaded.pipeline.vae = None
    if in_8_bits:
        quantize_linears(encoder.encoder.block)
    prompts = [_tokens(seed, "cuda", length=120) for seed in range(4)]
    expected = [_encode(encoder, ids) for ids in prompts]
    resident_bytes = torch.cuda.memory_allocated()
    move_blocks_to_host(encoder, 10, cuda)
    block_bytes = sum(t.nbytes for t in encoder.encoder.block[-1].state_dict().values())
    saved_bytes = resident_bytes - torch.cuda.memory_allocated()
    assert abs(saved_bytes - 10 * block_bytes) < 16 * _MIB
    noise = torch.randn(4096, 4096, device=cuda, dtype=torch.bfloat16)
    for _ in range(5):
        for ids, wanted in zip(prompts, expected, strict=True):
            # Work before and after, in memory that the places get and give.
            busy = [(noise @ noise) for _ in range(20)]
            actual = _encode(encoder, ids)
            del busy
            filler = [torch.full_like(noise, torch.nan) for _ in range(20)]
            assert torch.equal(actual, wanted)
            del filler
