"""What a user has to be told of a generation before it begins."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from pixart_tui.engine.generation.call import GenerateCall
from pixart_tui.engine.generation.quantizing import Quantization

# diffusers ships no types; the name says what is meant.
Pipeline: TypeAlias = Any


def notices(
    pipeline: Pipeline, call: GenerateCall, size: tuple[int, int], quantization: Quantization
) -> Iterator[str]:
    """A sentence for each thing that is not as one would think.

    Args:
        pipeline: As it was loaded.
        call: The call.
        size: Height and width that it draws.
        quantization: What is quantized.
    """
    tokens = len(pipeline.tokenizer(call.prompt).input_ids)
    if tokens > call.text_tokens:
        yield (
            f"the prompt has {tokens} tokens, and this model reads {call.text_tokens}: "
            f"{_cut(pipeline, call)!r} is cut off"
        )
    height, width = size
    if (height, width) != (call.height, call.width):
        yield (
            f"{call.width}x{call.height} is drawn at {width}x{height}, the nearest size that the "
            "model was trained on, and then resized"
        )
    if quantization.note:
        yield quantization.note


def _cut(pipeline: Pipeline, call: GenerateCall) -> str:
    """What the model does not read; the last token that it does is the end of the text."""
    ids = pipeline.tokenizer(call.prompt).input_ids
    return str(pipeline.tokenizer.decode(ids[call.text_tokens - 1 : -1]))
