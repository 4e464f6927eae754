"""The graphed text encoder against the stock one, on a GPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from pixart_tui.engine.loading import load_pipeline

pytestmark = pytest.mark.gpu

_PROMPTS = ("robot", "red apple", "", "a cat and a very long hat", "robot")


def _inputs(pipeline: Any, prompt: str) -> tuple[Tensor, Tensor]:
    found = pipeline.tokenizer(
        prompt, padding="max_length", max_length=20, truncation=True, return_tensors="pt"
    )
    return found.input_ids.cuda(), found.attention_mask.cuda()


@torch.no_grad()
def test_its_embeddings_are_the_stock_ones_whatever_came_before() -> None:
    from pixart_tui.engine.fused.text_encoder import GraphedTextEncoder

    cuda = torch.device("cuda")
    pipeline = load_pipeline("pixart-emoji", dtype=torch.bfloat16, device=cuda).pipeline
    captured: list[float] = []
    graphed = GraphedTextEncoder(pipeline.text_encoder, captured.append)
    for prompt in _PROMPTS:
        ids, mask = _inputs(pipeline, prompt)
        expected = pipeline.text_encoder(ids, attention_mask=mask)[0]
        found = graphed(ids, attention_mask=mask)[0]
        valid = mask[0].bool()
        torch.testing.assert_close(found[0, valid], expected[0, valid], rtol=2**-6, atol=2**-6)
    assert len(captured) == 1
