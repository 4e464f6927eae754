"""The fused executor: the pipeline's parts run by kernels for their shapes. Imports ``kernels``."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.quant_rules import HOPPER
from pixart_tui.engine.fused.graphs import GraphPool, graphed
from pixart_tui.engine.memory import is_in_strips
from pixart_tui.engine.typing import Pipeline, Transformer

LEAST_CAPABILITY: Final = (8, 0)
"""Compute capability that the fused kernels need."""

__all__ = ["HOPPER", "LEAST_CAPABILITY", "fuse_transformer", "install"]


def install(
    pipeline: Pipeline,
    *,
    cuda_graphs: bool,
    fast_accum: bool = True,
    fp8_attention: bool | Collection[str] = False,
    kept_fp8_attention: Collection[str] = (),
    on_capture: Callable[[float], None] = lambda _elapsed_s: None,
    kept_transformer: Transformer | None = None,
) -> None:
    """Has the transformer and the VAE's decoder run by the fused kernels, the rest by graphs.

    Names and parameters stay as they are; quantize before. Nothing is compiled yet: the first
    call does that.

    Args:
        pipeline: In bfloat16 on a CUDA device.
        cuda_graphs: Whether steps, encodings and decodings are captured and replayed.
        fast_accum: Whether fp8 products may keep their sums at the tensor cores' precision.
        fp8_attention: Whether self-attention multiplies in fp8: of all blocks, of none, or of those
            whose attention module is named (``transformer_blocks.3.attn1``).
        kept_fp8_attention: The blocks of the kept transformer whose self-attention does.
        on_capture: Called with each captured graph and the seconds it took.
        kept_transformer: Another transformer that shares weights, and the modules that read the
            text alone, with the pipeline's.

    Raises:
        RequestError: The pipeline is not in bfloat16 on a CUDA device, or the device has no
            kernel for what is asked, or the transformer has no such block.
    """
    pool = GraphPool(on_capture) if cuda_graphs else None
    if kept_transformer is not None:
        # First: it has every weight of a product in 16 bits, the other perhaps a part of them.
        fuse_transformer(
            kept_transformer, pool=pool, fast_accum=fast_accum, fp8_attention=kept_fp8_attention
        )
    fuse_transformer(
        pipeline.transformer,
        pool=pool,
        fast_accum=fast_accum,
        fp8_attention=fp8_attention,
        text_of=kept_transformer,
    )
    from pixart_tui.engine.fused.vae import fuse_middle, fuse_vae

    fuse = fuse_middle if is_in_strips(pipeline.vae) else fuse_vae
    fuse(pipeline.vae)
    if pool is not None:
        _graph_the_rest(pipeline, pool)


def _graph_the_rest(pipeline: Pipeline, pool: GraphPool) -> None:
    from pixart_tui.engine.fused.text_encoder import GraphedTextEncoder

    text_encoder, decoder = pipeline.text_encoder, pipeline.vae.decoder
    decoder.forward = graphed(decoder.forward, pool)
    if text_encoder is not None:
        text_encoder.forward = GraphedTextEncoder(text_encoder, pool)


def fuse_transformer(
    transformer: Transformer,
    *,
    pool: GraphPool | None,
    fast_accum: bool = True,
    fp8_attention: bool | Collection[str] = False,
    text_of: Transformer | None = None,
) -> None:
    """Replaces the transformer's ``forward``; see `install`.

    Args:
        transformer: In bfloat16 on a CUDA device.
        pool: Where its graphs work; None captures nothing.
        fast_accum: As in `install`.
        fp8_attention: As in `install`.
        text_of: A fused transformer whose caption projection, keys and values of cross-attention
            are this one's too: the same modules, run once an image for both.

    Raises:
        RequestError: As `install`.
    """
    device, dtype = transformer.device, transformer.dtype
    if device.type != "cuda" or dtype is not torch.bfloat16:
        raise RequestError(
            "the fused kernels need a CUDA device and bfloat16",
            cause=f"this transformer is in {str(dtype).removeprefix('torch.')} on {device}",
            next_step='use another --compiler, or --compiler-config \'{"mode": "jit"}\'',
        )
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST_CAPABILITY:
        raise RequestError(
            "the fused kernels need a GPU of compute capability 8.0 or newer",
            cause=f"this one has {capability[0]}.{capability[1]}",
            next_step='use another --compiler, or --compiler-config \'{"mode": "jit"}\'',
        )
    # Only here: they need triton, which machines without CUDA do not have.
    from pixart_tui.engine.fused.attention import attention_by_block
    from pixart_tui.engine.fused.transformer import FusedTransformer

    config = transformer.config
    attention = attention_by_block(
        device, config.attention_head_dim, config.num_layers, fp8_attention
    )
    transformer.forward = FusedTransformer(
        transformer,
        attention,
        fast_accum=fast_accum,
        pool=pool,
        conditioning=None if text_of is None else text_of.forward.conditioning,
    )
