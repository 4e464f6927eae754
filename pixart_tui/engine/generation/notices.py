"""Warns of settings that do not take effect as requested, before a generation begins."""

from __future__ import annotations

from collections.abc import Iterator

from pixart_tui.domain.events import Noticed
from pixart_tui.engine.generation.call import GenerateCall
from pixart_tui.engine.generation.quantizing import Quantization
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.reading import PromptReader


def notices(
    loaded: LoadedPipeline, call: GenerateCall, size: tuple[int, int], quantization: Quantization
) -> Iterator[Noticed]:
    """A sentence for each thing that is not as one would think.

    Args:
        loaded: The pipeline, not deployed yet.
        call: The call.
        size: Height and width that it draws.
        quantization: What is quantized.
    """
    yield from (Noticed(text=note) for note in loaded.notes)
    reader = PromptReader(loaded.pipeline, call.text_tokens, call.cleans_caption)
    yield from reader.notices((call.prompt,), call.negative_prompt)
    height, width = size
    if (height, width) != (call.height, call.width):
        yield Noticed(
            text=f"{call.width}x{call.height} is drawn at {width}x{height}, the nearest size that "
            "the model was trained on, and then resized"
        )
    if quantization.note:
        yield Noticed(text=quantization.note)
