"""The stock transformer's forward, taken apart where its blocks meet.

Where only one layer differs, everything before it stays as it was: whoever keeps the hidden
states between two blocks need not compute the blocks before them again. Each part runs the same
operations as ``PixArtTransformer2DModel.forward``, in the same order, so on one device the result
has the same bits.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

# diffusers ships no types; the name says what is meant.
Transformer: TypeAlias = Any

BLOCKS: Final = "transformer_blocks"
_MASKED: Final = -10000.0
_OUTPUT: Final = "proj_out"


def stage_of(fqn: str, depth: int) -> int:
    """Where a layer first matters: -1 before the blocks, a block, or ``depth`` behind them."""
    first, _, rest = fqn.partition(".")
    if first == BLOCKS:
        return int(rest.partition(".")[0])
    return depth if first == _OUTPUT else -1


def run_share(fqn: str, depth: int) -> float:
    """The part of the blocks that runs where only this layer differs."""
    return (depth - max(stage_of(fqn, depth), 0)) / depth


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one transformer call.

    Attributes:
        latents: (rows, channels, h, w).
        timesteps: (rows,).
        embeds: Text embeddings, (rows, tokens, channels).
        mask: 1 for a token, 0 for padding, (rows, tokens).
        micro: Resolution and aspect ratio, each (rows, ...) or None.
    """

    latents: Tensor
    timesteps: Tensor
    embeds: Tensor
    mask: Tensor
    micro: Mapping[str, Tensor | None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every block reads beside the hidden states.

    Attributes:
        modulation: Of all blocks, (rows, 6 * dim).
        embedded: The embedded timestep, (rows, dim).
        text: The projected text, (rows, tokens, dim).
        bias: Of the cross-attention, (rows, 1, tokens).
        grid: Height and width in patches.
    """

    modulation: Tensor
    embedded: Tensor
    text: Tensor
    bias: Tensor
    grid: tuple[int, int]


@dataclass(frozen=True, slots=True)
class StagedTransformer:
    """Runs a ``PixArtTransformer2DModel`` part by part, whatever its layers are by now."""

    transformer: Transformer

    @property
    def depth(self) -> int:
        """How many blocks there are."""
        return len(self.transformer.transformer_blocks)

    def begin(self, call: Call) -> tuple[Tensor, Surroundings]:
        """Everything before the blocks: hidden states, (rows, patches, dim), and the rest."""
        model, rows = self.transformer, call.latents.shape[0]
        patch = model.config.patch_size
        grid = (call.latents.shape[-2] // patch, call.latents.shape[-1] // patch)
        bias = ((1 - call.mask.to(call.latents.dtype)) * _MASKED).unsqueeze(1)
        hidden = model.pos_embed(call.latents)
        modulation, embedded = model.adaln_single(
            call.timesteps, dict(call.micro), batch_size=rows, hidden_dtype=hidden.dtype
        )
        text = call.embeds
        if model.caption_projection is not None:
            text = model.caption_projection(text).view(rows, -1, hidden.shape[-1])
        return hidden, Surroundings(modulation, embedded, text, bias, grid)

    def block(self, index: int, hidden: Tensor, around: Surroundings) -> Tensor:
        """The hidden states behind one block."""
        block: nn.Module = self.transformer.transformer_blocks[index]
        after: Tensor = block(
            hidden,
            attention_mask=None,
            encoder_hidden_states=around.text,
            encoder_attention_mask=around.bias,
            timestep=around.modulation,
            cross_attention_kwargs=None,
            class_labels=None,
        )
        return after

    def finish(self, hidden: Tensor, around: Surroundings) -> Tensor:
        """Everything behind the blocks: the prediction, (rows, out channels, h, w)."""
        model = self.transformer
        table = model.scale_shift_table[None] + around.embedded[:, None]
        shift, scale = table.chunk(2, dim=1)
        hidden = model.proj_out(model.norm_out(hidden) * (1 + scale) + shift).squeeze(1)
        patch, channels, (height, width) = model.config.patch_size, model.out_channels, around.grid
        hidden = hidden.reshape(-1, height, width, patch, patch, channels)
        hidden = torch.einsum("nhwpqc->nchpwq", hidden)
        return hidden.reshape(-1, channels, height * patch, width * patch)

    def from_block(self, index: int, hidden: Tensor, around: Surroundings) -> Tensor:
        """The prediction, from the hidden states in front of a block."""
        for later in range(index, self.depth):
            hidden = self.block(later, hidden, around)
        return self.finish(hidden, around)

    def whole(self, call: Call) -> Tensor:
        """The prediction, as the stock forward gives it."""
        hidden, around = self.begin(call)
        return self.from_block(0, hidden, around)
