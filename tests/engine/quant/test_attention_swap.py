from __future__ import annotations

from typing import Any

import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.quant.attention import reference_fp8_attention
from pixart_tui.engine.quant.attention_swap import attention_in_fp8

_NAME = "transformer_blocks.2.attn1"


@pytest.fixture(scope="module")
def transformer() -> Any:
    loaded = load_pipeline("pixart-emoji", dtype=torch.float32, device=torch.device("cpu"))
    return loaded.pipeline.transformer


@torch.no_grad()
def test_the_module_gives_what_the_reference_gives_and_is_put_back(transformer: Any) -> None:
    attn = transformer.get_submodule(_NAME)
    x = torch.randn(2, 40, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    before = attn(x)
    with attention_in_fp8(transformer, [_NAME]):
        found = attn(x)
        other = transformer.get_submodule("transformer_blocks.1.attn1")
        assert type(other.processor).__name__ == "AttnProcessor2_0"
    heads = [
        linear(x).unflatten(-1, (attn.heads, -1)) for linear in (attn.to_q, attn.to_k, attn.to_v)
    ]
    y = reference_fp8_attention(*heads, scale=heads[0].shape[-1] ** -0.5)
    torch.testing.assert_close(found, attn.to_out[0](y.flatten(2)))
    assert 1e-4 < float((found - before).norm() / before.norm()) < 0.2
    assert torch.equal(attn(x), before)


@torch.no_grad()
def test_it_is_in_fp8_only_while_it_is_to_be(transformer: Any) -> None:
    attn = transformer.get_submodule(_NAME)
    x = torch.randn(1, 9, attn.to_q.in_features, generator=torch.Generator().manual_seed(0))
    before, now = attn(x), [False, True]
    with attention_in_fp8(transformer, [_NAME], only_while=lambda: now.pop(0)):
        assert torch.equal(attn(x), before)
        assert not torch.equal(attn(x), before)


def test_what_is_no_attention_or_has_other_heads_is_refused(transformer: Any) -> None:
    with (
        pytest.raises(RequestError, match="no attention"),
        attention_in_fp8(transformer, ["proj_out"]),
    ):
        pass
    cpu = torch.device("cpu")
    tiny = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=cpu).pipeline
    with (
        pytest.raises(RequestError, match="cannot run in fp8"),
        attention_in_fp8(tiny.transformer, ["transformer_blocks.0.attn1"]),
    ):
        pass
