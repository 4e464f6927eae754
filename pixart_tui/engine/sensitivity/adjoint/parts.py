"""The stock transformer's forward and the decoder's, as parts that run one after another.

Each part runs the same operations as ``PixArtTransformer2DModel.forward`` and
``AutoencoderKL.decode``, in the same order. A gradient goes back through one part at a time, so
that only one part's graph is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor, nn

from pixart_tui.engine.typing import Transformer, Vae

_MASKED: Final = -10000.0


@dataclass(frozen=True, slots=True)
class Call:
    """The arguments of one transformer call.

    Attributes:
        latents: (rows, channels, h, w), already scaled by the scheduler.
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


@dataclass(frozen=True)
class TransformerParts:
    """Runs a call of a ``PixArtTransformer2DModel`` part by part.

    Attributes:
        transformer: The model.
        call: The arguments; each part takes what is differentiated as its own argument.
    """

    transformer: Transformer
    call: Call

    @property
    def depth(self) -> int:
        """How many blocks there are."""
        return len(self.transformer.transformer_blocks)

    def begin(self, latents: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Everything before the blocks.

        Returns:
            Hidden states (rows, patches, dim), the modulation of all blocks (rows, 6 dim), the
            embedded timestep (rows, dim), and the projected text (rows, tokens, dim).
        """
        model, call, rows = self.transformer, self.call, latents.shape[0]
        hidden = model.pos_embed(latents)
        modulation, embedded = model.adaln_single(
            call.timesteps, dict(call.micro), batch_size=rows, hidden_dtype=hidden.dtype
        )
        text = call.embeds
        if model.caption_projection is not None:
            text = model.caption_projection(text).view(rows, -1, hidden.shape[-1])
        return hidden, modulation, embedded, text

    @cached_property
    def _text_bias(self) -> Tensor:
        """Returns the bias of the attention to the text, (rows, 1, tokens)."""
        call = self.call
        return ((1 - call.mask.to(call.latents.dtype)) * _MASKED).unsqueeze(1)

    def block(self, index: int, hidden: Tensor, modulation: Tensor, text: Tensor) -> Tensor:
        """The hidden states behind one block."""
        block: nn.Module = self.transformer.transformer_blocks[index]
        after: Tensor = block(
            hidden,
            attention_mask=None,
            encoder_hidden_states=text,
            encoder_attention_mask=self._text_bias,
            timestep=modulation,
            cross_attention_kwargs=None,
            class_labels=None,
        )
        return after

    def finish(self, hidden: Tensor, embedded: Tensor) -> Tensor:
        """Everything behind the blocks: the prediction, (rows, out channels, h, w).

        Args:
            hidden: Hidden states behind the last block.
            embedded: The embedded timestep.
        """
        model, latents = self.transformer, self.call.latents
        table = model.scale_shift_table[None] + embedded[:, None]
        shift, scale = table.chunk(2, dim=1)
        hidden = model.proj_out(model.norm_out(hidden) * (1 + scale) + shift).squeeze(1)
        patch, channels = model.config.patch_size, model.out_channels
        height, width = latents.shape[-2] // patch, latents.shape[-1] // patch
        hidden = hidden.reshape(-1, height, width, patch, patch, channels)
        hidden = torch.einsum("nhwpqc->nchpwq", hidden)
        return hidden.reshape(-1, channels, height * patch, width * patch)


def decoder_parts(vae: Vae) -> list[Callable[[Tensor], Tensor]]:
    """From final latents (n, channels, h, w) to images (n, 3, height, width), part by part."""
    decoder = vae.decoder

    def begin(latents: Tensor) -> Tensor:
        scaled = latents.to(vae.dtype) / vae.config.scaling_factor
        if vae.post_quant_conv is not None:
            scaled = vae.post_quant_conv(scaled)
        hidden: Tensor = decoder.mid_block(decoder.conv_in(scaled), None)
        return hidden

    def finish(hidden: Tensor) -> Tensor:
        hidden = decoder.conv_out(decoder.conv_act(decoder.conv_norm_out(hidden)))
        return (hidden * 0.5 + 0.5).clamp(0, 1).float()

    ups = [lambda hidden, up=up: up(hidden, None) for up in decoder.up_blocks]
    return [begin, *ups, finish]
