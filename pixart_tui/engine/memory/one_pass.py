"""Encoding a prompt and its negative prompt in one pass through the text encoder."""

from __future__ import annotations

from functools import partial
from typing import Any, Final, TypeAlias

from torch import Tensor

from pixart_tui.engine.typing import Pipeline

Encoded: TypeAlias = tuple[Tensor, Tensor, Tensor | None, Tensor | None]

_GIVEN: Final = ("prompt_embeds", "negative_prompt_embeds")


def encode_in_one_pass(pipeline: Pipeline) -> None:
    """Has a pipeline's ``encode_prompt`` call its text encoder once where it calls it twice.

    Blocks that wait in host memory are then copied once an image. The rows of a batch do not
    depend on each other; only the rounding of larger matrix products may differ.

    Args:
        pipeline: A PixArt pipeline, changed in place.
    """
    pipeline.encode_prompt = partial(_encode, pipeline.encode_prompt)


def _encode(
    stock: Any,
    prompt: str | list[str],
    do_classifier_free_guidance: bool = True,
    negative_prompt: str | list[str] = "",
    num_images_per_prompt: int = 1,
    **options: Any,
) -> Encoded:
    """Arguments and result of the stock ``encode_prompt``."""
    guided = do_classifier_free_guidance
    if not guided or any(options.get(name) is not None for name in _GIVEN):
        encoded: Encoded = stock(prompt, guided, negative_prompt, num_images_per_prompt, **options)
        return encoded
    prompts = [prompt] if isinstance(prompt, str) else list(prompt)
    negative = negative_prompt
    negatives = [negative] * len(prompts) if isinstance(negative, str) else list(negative)
    both = [*prompts, *negatives]
    embeds, mask, _, _ = stock(both, False, "", num_images_per_prompt, **options)
    rows = len(prompts) * num_images_per_prompt
    return embeds[:rows], mask[:rows], embeds[rows:], mask[rows:]
