"""Needing less GPU memory: a smaller text encoder, the VAE in parts. Imports ``kernels``."""

from __future__ import annotations

import torch

from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.engine.memory.budget import settle_budget
from pixart_tui.engine.memory.host_blocks import is_streamed, move_blocks_to_host
from pixart_tui.engine.memory.int8_linear import quantize_linears
from pixart_tui.engine.memory.one_pass import encode_in_one_pass
from pixart_tui.engine.memory.parts import TILE_PIXELS
from pixart_tui.engine.memory.strips import decode_in_strips, is_in_strips
from pixart_tui.engine.typing import Pipeline, Vae

__all__ = ["apply_memory_options", "is_in_strips", "is_streamed", "settle_budget"]


def apply_memory_options(pipeline: Pipeline, options: MemoryOptions, device: torch.device) -> None:
    """Changes a pipeline in place, before it is quantized and compiled.

    Args:
        pipeline: A PixArt pipeline with its parts on ``device``.
        options: The switches; a budget must be settled before.
        device: Where the pipeline runs.

    Raises:
        RequestError: The VAE cannot be decoded in strips.
        WorkError: The host has too little memory for the blocks that wait there.
    """
    if options.budget_bytes is not None:
        raise ValueError("a memory budget must be settled before it is applied")
    if options.text_encoder_8bit:
        for block in pipeline.text_encoder.encoder.block:
            quantize_linears(block)
    if options.text_encoder_host_blocks:
        move_blocks_to_host(pipeline.text_encoder, options.text_encoder_host_blocks, device)
        encode_in_one_pass(pipeline)
    _apply_decoding(pipeline.vae, options)
    if device.type == "cuda" and options != MemoryOptions():
        # What the weights took before lies in torch's cache, where no other library can use it.
        torch.cuda.empty_cache()


def _apply_decoding(vae: Vae, options: MemoryOptions) -> None:
    match options.vae:
        case "sliced":
            vae.enable_slicing()
        case "strips":
            decode_in_strips(vae)
        case "tiled":
            _decode_in_tiles(vae)


def _decode_in_tiles(vae: Vae) -> None:
    """The tiling of diffusers; a tile as large as the image, SDXL's, would save nothing."""
    vae.enable_slicing()
    vae.enable_tiling()
    if vae.tile_sample_min_size > TILE_PIXELS:
        smaller = TILE_PIXELS / vae.tile_sample_min_size
        vae.tile_latent_min_size = int(vae.tile_latent_min_size * smaller)
        vae.tile_sample_min_size = TILE_PIXELS
