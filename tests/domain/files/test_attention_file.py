from __future__ import annotations

import json

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import attention_file, onediff_file

_BLOCKS = {"transformer_blocks.0.attn1": 0.9, "transformer_blocks.1.attn1": 1.0000001}


def test_it_says_what_it_is_and_the_least_sensitive_block_first() -> None:
    text = attention_file.render(_BLOCKS)
    assert attention_file.is_attention(text)
    content = json.loads(text)
    assert list(content["blocks"].items()) == [
        ("transformer_blocks.1.attn1", 1.0),
        ("transformer_blocks.0.attn1", 0.9),
    ]


def test_it_is_refused_where_layers_are_wanted_and_onediff_could_not_read_it() -> None:
    text = attention_file.render(_BLOCKS)
    with pytest.raises(RequestError, match="holds no layers") as caught:
        onediff_file.parse(text, "fp8_attention.json")
    assert "fp8 attention" in caught.value.cause
    with pytest.raises(TypeError):
        sorted(value["ssim"] for value in json.loads(text).values())


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1}', '{"a": {"ssim": 1}}', "[" * 9999]
)
def test_anything_else_is_none(text: str) -> None:
    assert not attention_file.is_attention(text)
