"""Sizes a pipeline's parts on a GPU: weights counted, activations from the shapes.

Where a factor is not a plain count of tensors it was measured: see docs/memory.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from torch import nn

from pixart_tui.domain.deploying.deployment import VaeDecoding
from pixart_tui.domain.deploying.memory_plan import MemoryParts
from pixart_tui.engine.memory.strips import STRIP_PIXELS
from pixart_tui.engine.typing import Pipeline, TextEncoder, Transformer, Vae

# diffusers and transformers ship no types; the names say what is meant.

TILE_PIXELS: Final = 512
"""Side of a tile: that of diffusers for the Stable Diffusion VAE, where a model's own is larger."""

_WORKSPACE_BYTES: Final = 64 * 2**20
"""cuBLAS takes 32 MiB for each stream it works in on Hopper; two streams."""

_DENOISE_WIDTHS: Final = 12
"""Feed-forward: residual, normalized input, 4 + 4 before and after GELU; and two to spare."""

_WHOLE_TENSORS: Final = 5
"""Of the largest size: measured, 12.6 GiB for a stock call of which 10.2 GiB are weights."""

_STRIP_TENSORS: Final = 4
"""Upsampled, convolved, normalized, and a convolution's output or workspace."""


def memory_parts(
    pipeline: Pipeline,
    *,
    height: int,
    width: int,
    text_tokens: int,
    guidance: bool,
    quantized: Collection[str] = (),
    doubled: Collection[str] = (),
) -> MemoryParts:
    """Takes a pipeline's measures, one image a call.

    Args:
        pipeline: A PixArt pipeline as it was loaded.
        height: Image height in pixels.
        width: Image width in pixels.
        text_tokens: Tokens that a prompt is padded to.
        guidance: Whether a negative prompt is encoded and denoised beside the prompt.
        quantized: Layers of the transformer that will hold 8 bits a weight (or 4, which this
            counts as 8).
        doubled: Those of them whose weights stay beside it as they were loaded.
    """
    rows = 2 if guidance else 1
    encoder, size = pipeline.text_encoder, pipeline.text_encoder.dtype.itemsize
    blocks = list(encoder.encoder.block)
    return MemoryParts(
        blocks=len(blocks),
        block_bytes=max(_bytes(block) for block in blocks),
        block_8bit_bytes=max(_bytes(block) - _saved_bytes(block, size) for block in blocks),
        text_encoder_rest_bytes=_bytes(encoder) - sum(_bytes(block) for block in blocks),
        transformer_bytes=_transformer_bytes(pipeline.transformer, quantized, doubled),
        vae_bytes=_bytes(pipeline.vae),
        kept_bytes=_WORKSPACE_BYTES,
        encode_bytes=_encode_bytes(encoder, rows, text_tokens),
        denoise_bytes=_denoise_bytes(pipeline, rows, height, width),
        decode_bytes=_decode_bytes(pipeline.vae, height, width),
    )


def _bytes(module: nn.Module) -> int:
    # `parameters` gives a shared tensor once: T5 has two names for its embedding.
    total: int = sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))
    return total


def _linears(module: nn.Module) -> list[nn.Linear]:
    return [child for child in module.modules() if isinstance(child, nn.Linear)]


def _saved_bytes(block: nn.Module, size: int) -> int:
    """By int8 weights with a scale for each output channel in the weight's dtype."""
    saved: int = sum(x.weight.numel() * (size - 1) - x.out_features * size for x in _linears(block))
    return saved


def _transformer_bytes(
    transformer: Transformer, quantized: Collection[str], doubled: Collection[str]
) -> int:
    weights = [transformer.get_submodule(fqn).weight for fqn in quantized]
    saved_bytes: int = sum(weight.numel() * (weight.element_size() - 1) for weight in weights)
    kept_bytes: int = sum(transformer.get_submodule(fqn).weight.nbytes for fqn in doubled)
    return _bytes(transformer) - saved_bytes + kept_bytes


def _encode_bytes(encoder: TextEncoder, rows: int, text_tokens: int) -> int:
    """One block: the feed-forward's tensors, attention scores, one unpacked int8 weight."""
    config = encoder.config
    feed_forward = rows * text_tokens * (4 * config.d_model + 3 * config.d_ff)
    scores = 3 * rows * config.num_heads * text_tokens**2
    unpacked = max(x.weight.numel() for x in _linears(encoder.encoder.block[0]))
    values: int = feed_forward + scores + unpacked
    return values * int(encoder.dtype.itemsize)


def _denoise_bytes(pipeline: Pipeline, rows: int, height: int, width: int) -> int:
    config = pipeline.transformer.config
    hidden = config.num_attention_heads * config.attention_head_dim
    tokens = rows * height * width // (pipeline.vae_scale_factor * config.patch_size) ** 2
    values: int = _DENOISE_WIDTHS * tokens * hidden
    return values * int(pipeline.transformer.dtype.itemsize)


def _decode_bytes(vae: Vae, height: int, width: int) -> dict[VaeDecoding, int]:
    """The last stage decides: its input has the channels of the stage before at full size."""
    size, pixels = int(vae.dtype.itemsize), height * width
    channels, *wider = vae.config.block_out_channels
    entering = wider[0] if wider else channels
    tile = min(TILE_PIXELS, vae.tile_sample_min_size)
    tile_pixels = min(tile, height) * min(tile, width)
    strip_pixels = min(pixels, STRIP_PIXELS + 4 * width)
    images = 3 * 3 * pixels
    whole = size * (_WHOLE_TENSORS * entering * pixels + images)
    return {
        "whole": whole,
        "sliced": whole,
        "strips": size
        * (pixels * (2 * channels + entering // 4) + _STRIP_TENSORS * entering * strip_pixels),
        "tiled": size * (_WHOLE_TENSORS * entering * tile_pixels + images),
    }
