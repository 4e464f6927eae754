"""The text encoder replayed as a CUDA graph, and the embeddings of the negative prompt kept."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

import torch
from torch import Tensor
from transformers.modeling_outputs import BaseModelOutput

from pixart_tui.engine.fused.graphs import GraphedCalls, GraphPool
from pixart_tui.engine.typing import TextEncoder

# The last prompt and the negative prompt: pipelines encode them in turn.
_TEXTS_KEPT: Final = 2


class GraphedTextEncoder:
    """A stand-in for ``T5EncoderModel.forward``.

    Its 24 blocks are thousands of small launches over weights that are read once: a graph leaves
    the reading.

    Args:
        encoder: On a CUDA device; blocks that wait in host memory are copied by the graph.
        pool: Where its graphs work.
    """

    def __init__(self, encoder: TextEncoder, pool: GraphPool) -> None:
        self._forward = encoder.forward
        self._graphs = GraphedCalls(pool)
        self._known: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()

    @torch.no_grad()
    def __call__(self, input_ids: Tensor, attention_mask: Tensor) -> BaseModelOutput:
        """Embeddings of token ids (n, tokens) under a mask of the same shape."""
        ids, mask = input_ids.flatten().tolist(), attention_mask.flatten().tolist()
        key = (tuple(input_ids.shape), *ids, *mask)
        if key not in self._known:
            self._known[key] = self._graphs.call(self._encode, [input_ids, attention_mask])
            if len(self._known) > _TEXTS_KEPT:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return BaseModelOutput(last_hidden_state=self._known[key])

    def _encode(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        embeds: Tensor = self._forward(input_ids, attention_mask=attention_mask)[0]
        return embeds
