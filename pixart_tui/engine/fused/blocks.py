"""The transformer's blocks: matrix products and attention, with one pass over the rows between."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pixart_tui.engine.fused.attention import SelfAttention, attend_to_text
from pixart_tui.engine.fused.conditioning import TextState
from pixart_tui.engine.fused.linears import LinearGroup, SingleLinear
from pixart_tui.engine.kernels.rows import Branch, Norm, Rows, Wanted, pass_rows
from pixart_tui.engine.typing import BasicTransformerBlock

_SHIFT_MSA, _SCALE_MSA, _GATE_MSA, _SHIFT_MLP, _SCALE_MLP, _GATE_MLP = range(6)


@dataclass(frozen=True, slots=True)
class Stream:
    """The residual stream, and the branch that is still to be added to it.

    Attributes:
        h: (B S, C).
        branch: What the next pass adds; None at the start.
    """

    h: Tensor
    branch: Branch | None = None


class FusedBlock:
    """One ``BasicTransformerBlock`` of kind ``ada_norm_single``.

    Args:
        block: Its linears may be real quantized ones.
        attention: Self-attention.
        fast_accum: As in ``LinearGroup``.
    """

    def __init__(
        self, block: BasicTransformerBlock, attention: SelfAttention, *, fast_accum: bool
    ) -> None:
        first, second, options = block.attn1, block.attn2, {"fast_accum": fast_accum}
        self._qkv = LinearGroup([first.to_q, first.to_k, first.to_v], **options)
        self._out = SingleLinear(first.to_out[0], **options)
        self._cross_q = LinearGroup([second.to_q], **options)
        self._cross_out = SingleLinear(second.to_out[0], **options)
        self._up = SingleLinear(block.ff.net[0].proj, **options)
        self._down = SingleLinear(block.ff.net[2], **options)
        self._attention = attention
        self._heads, self._eps = first.heads, block.norm1.eps

    def __call__(self, stream: Stream, mod: Tensor, state: TextState, index: int) -> Stream:
        """The stream after this block.

        Args:
            stream: Of B images with S tokens each.
            mod: (B, 6, C): shift, scale and gate of self-attention, then of the feed-forward.
            state: What cross-attention reads.
            index: Which of its keys and values are this block's.
        """
        batch = mod.shape[0]
        tokens = stream.h.shape[0] // batch
        norm = Norm(self._eps, mod[:, _SCALE_MSA], mod[:, _SHIFT_MSA])
        h, rows = pass_rows(
            stream.h, self._qkv.wanted, tokens=tokens, branch=stream.branch, norm=norm
        )
        q, k, v = (self._by_head(x, batch) for x in self._qkv(rows))
        y = self._projected(self._attention(q, k, v), self._out, tokens)
        branch = Branch(y, self._out.bias, mod[:, _GATE_MSA])
        h, rows = pass_rows(h, self._cross_q.wanted, tokens=tokens, branch=branch)
        q = self._by_head(self._cross_q(rows)[0], batch)
        found = attend_to_text(q, state.keys[index], state.values[index], state.text)
        y = self._projected(found, self._cross_out, tokens)
        norm = Norm(self._eps, mod[:, _SCALE_MLP], mod[:, _SHIFT_MLP])
        branch = Branch(y, self._cross_out.bias)
        h, rows = pass_rows(h, self._up.wanted, tokens=tokens, branch=branch, norm=norm)
        y = self._down(self._activated(rows, tokens))
        return Stream(h, Branch(y, self._down.bias, mod[:, _GATE_MLP]))

    def _by_head(self, x: Tensor, batch: int) -> Tensor:
        return torch.unflatten(torch.unflatten(x, 1, (self._heads, -1)), 0, (batch, -1))

    def _projected(self, attended: Tensor, linear: SingleLinear, tokens: int) -> Tensor:
        rows = attended.view(-1, attended.shape[2] * attended.shape[3])
        return linear(pass_rows(rows, linear.wanted, tokens=tokens)[1])

    def _activated(self, rows: Rows, tokens: int) -> Rows:
        if self._up.is_plain and self._down.wanted == Wanted():
            return Rows(self._up.with_gelu(rows))
        raised = self._up(rows)
        return pass_rows(raised, self._down.wanted, tokens=tokens, gelu=True, bias=self._up.bias)[1]
