"""Attention to the text, and which self-attention a device gets."""

from __future__ import annotations

import math

import pytest
import torch

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.engine.fused.attention import (
    attend_to_text,
    attention_by_block,
    choose_attention,
    text_lengths,
)

_CUDA = torch.device("cuda")


@pytest.mark.parametrize("rows", [[[0, 1, 1]], [[1, 0, 1]], [[1, 1, 0], [0, 0, 0]]])
def test_a_mask_that_is_not_that_of_a_text_is_refused(rows: list[list[int]]) -> None:
    with pytest.raises(WorkError, match="mask"):
        text_lengths(torch.tensor(rows))


def test_lengths_and_starts() -> None:
    found = text_lengths(torch.tensor([[1, 0, 0], [1, 1, 1]]))
    assert found.lengths.tolist() == [1, 3]
    assert (found.starts.tolist(), found.tokens) == ([0, 3, 6], 3)


@pytest.fixture
def hopper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _device: (9, 0))


@pytest.mark.usefixtures("hopper")
def test_each_block_gets_the_attention_that_is_asked_for() -> None:
    plain, fp8 = (choose_attention(_CUDA, 72, fp8=x) for x in (False, True))
    assert plain is not fp8
    assert attention_by_block(_CUDA, 72, 3, False) == [plain] * 3
    assert attention_by_block(_CUDA, 72, 3, True) == [fp8] * 3
    assert attention_by_block(_CUDA, 72, 3, ()) == [plain] * 3
    assert attention_by_block(_CUDA, 72, 3, {"transformer_blocks.1.attn1"}) == [plain, fp8, plain]


@pytest.mark.usefixtures("hopper")
def test_a_block_that_is_not_there_is_refused_and_so_are_heads_without_a_kernel() -> None:
    with pytest.raises(RequestError, match=r"transformer_blocks\.3\.attn1"):
        attention_by_block(_CUDA, 72, 3, ["transformer_blocks.3.attn1"])
    with pytest.raises(RequestError, match="no kernel"):
        attention_by_block(_CUDA, 24, 3, ["transformer_blocks.0.attn1"])
    assert len(attention_by_block(_CUDA, 24, 3, False)) == 3


@pytest.mark.gpu
@pytest.mark.parametrize("tokens", [1, 16, 120, 300])
@pytest.mark.parametrize("width", [64, 72])
def test_it_is_the_stock_attention_with_its_bias(tokens: int, width: int) -> None:
    generator = torch.Generator("cuda").manual_seed(tokens)
    q, k, v = (
        torch.randn(2, n, 4, width, generator=generator, device="cuda").bfloat16()
        for n in (1000, tokens, tokens)
    )
    mask = torch.ones(2, tokens, dtype=torch.int64, device="cuda")
    mask[0, 1:] = 0
    found = attend_to_text(q, k.flatten(0, 1), v.flatten(0, 1), text_lengths(mask))
    scores = torch.einsum("bmhd,bnhd->bhmn", q.double(), k.double()) / math.sqrt(width)
    weights = (scores + (mask - 1)[:, None, None] * 10000.0).softmax(-1)
    expected = torch.einsum("bhmn,bnhd->bmhd", weights, v.double())
    assert found.is_contiguous()
    assert float((found.double() - expected).norm() / expected.norm()) < 5e-3
