"""PixArt's transformer as the fused kernels run it: the same function, the same arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from diffusers.models.modeling_outputs import Transformer2DModelOutput
from torch import Tensor

from pixart_tui.domain.errors import WorkError
from pixart_tui.engine.fused.attention import SelfAttention
from pixart_tui.engine.fused.blocks import FusedBlock, Stream
from pixart_tui.engine.fused.conditioning import TextConditioning, TextState
from pixart_tui.engine.fused.graphs import GraphedCalls, GraphPool
from pixart_tui.engine.fused.linears import LinearGroup
from pixart_tui.engine.kernels.rows import Norm, Rows, pass_rows
from pixart_tui.engine.typing import Transformer


class FusedTransformer:
    """A stand-in for ``PixArtTransformer2DModel.forward``.

    Args:
        transformer: In bfloat16 on a CUDA device; its linears may be real quantized ones. Its
            parameters stay where they are, named as before.
        attention: Self-attention of each block.
        fast_accum: As in ``LinearGroup``.
        pool: Where a step's graphs work, one per shape; None captures nothing.
        conditioning: What reads the text, where another transformer has it already.
    """

    def __init__(
        self,
        transformer: Transformer,
        attention: Sequence[SelfAttention],
        *,
        fast_accum: bool,
        pool: GraphPool | None,
        conditioning: TextConditioning | None = None,
    ) -> None:
        self._transformer = transformer
        self.conditioning = conditioning or TextConditioning(transformer, fast_accum=fast_accum)
        self._blocks = [
            FusedBlock(block, of_block, fast_accum=fast_accum)
            for block, of_block in zip(transformer.transformer_blocks, attention, strict=True)
        ]
        # Not the module's own call: torchao's int8 asks the device, which no capture allows.
        self._out = LinearGroup([transformer.proj_out], fast_accum=fast_accum)
        tables = [block.scale_shift_table for block in transformer.transformer_blocks]
        self._tables = torch.stack([table.detach() for table in tables])
        self._graphs = GraphedCalls(pool) if pool is not None else None

    def __call__(  # noqa: PLR0917 (the stock signature)
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        added_cond_kwargs: Mapping[str, Tensor | None],
        cross_attention_kwargs: object = None,
        attention_mask: Tensor | None = None,
        encoder_attention_mask: Tensor | None = None,
        return_dict: bool = True,
    ) -> tuple[Tensor] | Transformer2DModelOutput:
        """The noise prediction, as the stock transformer gives it.

        Raises:
            WorkError: A gradient would go through it, or an argument is none that the pipelines
                pass.
        """
        if torch.is_grad_enabled() and (
            hidden_states.requires_grad or encoder_hidden_states.requires_grad
        ):
            raise _no_gradient()
        if attention_mask is not None or cross_attention_kwargs or encoder_attention_mask is None:
            raise _unusual_call()
        with torch.no_grad():
            output = self._predicted(
                hidden_states,
                encoder_hidden_states,
                timestep,
                added_cond_kwargs,
                encoder_attention_mask,
            )
        return Transformer2DModelOutput(sample=output) if return_dict else (output,)

    def _predicted(
        self,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        timestep: Tensor,
        added_cond_kwargs: Mapping[str, Tensor | None],
        encoder_attention_mask: Tensor,
    ) -> Tensor:
        state = self.conditioning.of(encoder_hidden_states, encoder_attention_mask)
        batch = hidden_states.shape[0]
        inputs = [hidden_states, timestep.expand(batch)]
        inputs += [x for x in added_cond_kwargs.values() if x is not None]

        def step(hidden: Tensor, time: Tensor, *micro: Tensor) -> Tensor:
            names = ("resolution", "aspect_ratio")
            known = dict(zip(names, micro, strict=True)) if micro else dict.fromkeys(names)
            return self._step(hidden, time, known, state)

        if self._graphs is None:
            return step(*inputs)
        return self._graphs.call(step, inputs, id(state))

    def _step(
        self, hidden: Tensor, time: Tensor, micro: Mapping[str, Tensor | None], state: TextState
    ) -> Tensor:
        transformer = self._transformer
        batch, _, height, _ = hidden.shape
        # The positions are added to a transposed view: contiguous rows are made once, here.
        h = transformer.pos_embed(hidden).contiguous()
        mod, embedded = transformer.adaln_single(
            time, micro, batch_size=batch, hidden_dtype=h.dtype
        )
        mods = self._tables[:, None] + mod.view(1, batch, 6, -1)
        stream = Stream(h.view(-1, h.shape[-1]))
        for index, block in enumerate(self._blocks):
            stream = block(stream, mods[index], state, index)
        rows = self._normed(stream, embedded, h.shape[1])
        patch = transformer.config.patch_size
        return _unpatchified(self._out(rows)[0], batch, height // patch, patch)

    def _normed(self, stream: Stream, embedded: Tensor, tokens: int) -> Rows:
        table = self._transformer.scale_shift_table[None] + embedded[:, None]
        mod = torch.cat([table, table, table], dim=1)  # the stride that the blocks' gates have
        norm = Norm(self._transformer.norm_out.eps, scale=mod[:, 1], shift=mod[:, 0])
        return pass_rows(
            stream.h, self._out.wanted, tokens=tokens, branch=stream.branch, norm=norm
        )[1]


def _unpatchified(rows: Tensor, batch: int, height: int, patch: int) -> Tensor:
    """(B S, patch patch channels) -> (B, channels, H, W)."""
    width = rows.shape[0] // (batch * height)
    x = rows.view(batch, height, width, patch, patch, -1)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(batch, -1, height * patch, width * patch)


def _no_gradient() -> WorkError:
    return WorkError(
        "the fused transformer has no gradient",
        cause="an argument of it requires one",
        next_step="call it under torch.no_grad(), or train the model before it is optimized",
    )


def _unusual_call() -> WorkError:
    return WorkError(
        "the fused transformer cannot be called like this",
        cause="it takes what the PixArt pipelines pass: an encoder mask, no self-attention mask",
        next_step="use another --compiler",
    )
