"""The graphed text encoder against the stock one, on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pixart_tui.engine.fused.graphs import GraphedCalls
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.memory.host_blocks import move_blocks_to_host

pytestmark = pytest.mark.gpu

_PROMPTS = ("robot", "red apple", "", "a cat and a very long hat", "robot")


def _inputs(pipeline: Any, prompt: str) -> tuple[Tensor, Tensor]:
    found = pipeline.tokenizer(
        prompt, padding="max_length", max_length=20, truncation=True, return_tensors="pt"
    )
    return found.input_ids.cuda(), found.attention_mask.cuda()


@torch.no_grad()
def test_its_embeddings_are_the_stock_ones_whatever_came_before() -> None:
    from pixart_tui.engine.fused.graphs import GraphPool
    from pixart_tui.engine.fused.text_encoder import GraphedTextEncoder

    cuda = torch.device("cuda")
    pipeline = load_pipeline("pixart-emoji", dtype=torch.bfloat16, device=cuda).pipeline
    captured: list[float] = []
    graphed = GraphedTextEncoder(pipeline.text_encoder, GraphPool(captured.append))
    for prompt in _PROMPTS:
        ids, mask = _inputs(pipeline, prompt)
        expected = pipeline.text_encoder(ids, attention_mask=mask)[0]
        found = graphed(ids, attention_mask=mask)[0]
        valid = mask[0].bool()
        torch.testing.assert_close(found[0, valid], expected[0, valid], rtol=2**-6, atol=2**-6)
    assert len(captured) == 1


@torch.no_grad()
def test_blocks_in_host_memory_are_copied_by_the_graph() -> None:
    from pixart_tui.engine.fused.graphs import GraphPool
    from pixart_tui.engine.fused.text_encoder import GraphedTextEncoder

    cuda = torch.device("cuda")
    pipeline = load_pipeline("synthetic:alpha-tiny", dtype=torch.bfloat16, device=cuda).pipeline
    encoder = pipeline.text_encoder
    inputs = [_inputs(pipeline, prompt) for prompt in _PROMPTS]
    expected = [encoder(ids, attention_mask=mask)[0] for ids, mask in inputs]
    move_blocks_to_host(encoder, 1, cuda)
    pool = GraphPool()
    graphed = GraphedTextEncoder(encoder, pool)
    # Another graph of the same pool overwrites the places between two prompts.
    filler = GraphedCalls(pool)
    for (ids, mask), wanted in zip(inputs, expected, strict=True):
        assert torch.equal(graphed(ids, attention_mask=mask)[0], wanted)
        noise = torch.full((1 << 20,), torch.nan, device=cuda)
        filler.call(lambda x: x * x + x, [noise])
