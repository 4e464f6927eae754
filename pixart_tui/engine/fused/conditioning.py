"""Computes text-only tensors once per image, at addresses that never change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pixart_tui.engine.fused.attention import TextLengths, text_lengths
from pixart_tui.engine.fused.linears import LinearGroup
from pixart_tui.engine.kernels.rows import pass_rows
from pixart_tui.engine.typing import Transformer


@dataclass(frozen=True, slots=True)
class TextState:
    """Keys and values of the text, for every block.

    Attributes:
        keys: One (B T, H, D) for each block.
        values: Likewise.
        text: How much of them is no padding.
    """

    keys: Sequence[Tensor]
    values: Sequence[Tensor]
    text: TextLengths


@dataclass(frozen=True, slots=True)
class _Seen:
    """Inputs of the last call; they are kept, so that no other tensor can get their identity."""

    text: Tensor
    mask: Tensor
    text_version: int
    mask_version: int

    def is_of(self, text: Tensor, mask: Tensor) -> bool:
        same = text is self.text and mask is self.mask
        versions = (text._version, mask._version)
        return same and versions == (self.text_version, self.mask_version)


class TextConditioning:
    """Caption projection and the cross-attention keys and values of every block.

    Args:
        transformer: A ``PixArtTransformer2DModel``.
        fast_accum: As in ``LinearGroup``.
    """

    def __init__(self, transformer: Transformer, *, fast_accum: bool) -> None:
        self._project = transformer.caption_projection
        blocks = transformer.transformer_blocks
        self._heads = transformer.config.num_attention_heads
        linears = [part for block in blocks for part in (block.attn2.to_k, block.attn2.to_v)]
        self._group = LinearGroup(linears, fast_accum=fast_accum)
        self._states: dict[torch.Size, TextState] = {}
        self._current: dict[torch.Size, _Seen] = {}

    @torch.no_grad()
    def of(self, text: Tensor, mask: Tensor) -> TextState:
        """The state for these embeddings, computed if they are not those of the last call.

        Args:
            text: (B, T, channels) embeddings of the text encoder.
            mask: (B, T), 1 for a token and 0 for padding.
        """
        known = self._current.get(text.shape)
        if known is None or not known.is_of(text, mask):
            self._update(text, mask)
            self._current[text.shape] = _Seen(text, mask, text._version, mask._version)
        return self._states[text.shape]

    def _update(self, embeds: Tensor, mask: Tensor) -> None:
        text = text_lengths(mask)
        caption = self._project(embeds)
        caption = caption.reshape(-1, caption.shape[-1])
        _, rows = pass_rows(caption, self._group.wanted, tokens=text.tokens)
        made = [torch.unflatten(x, 1, (self._heads, -1)) for x in self._group(rows)]
        state = self._states.get(embeds.shape)
        if state is None:
            made = [x.contiguous() for x in made]
            self._states[embeds.shape] = TextState(made[::2], made[1::2], text)
            return
        kept = [x for pair in zip(state.keys, state.values, strict=True) for x in pair]
        torch._foreach_copy_(kept, made)
        state.text.lengths.copy_(text.lengths)
