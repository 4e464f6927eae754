"""How a pass uses the memory: the fastest way that fits, and smaller ones behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import torch

from pixart_tui.domain.events import PassPlanned
from pixart_tui.engine.schedule import call_count
from pixart_tui.engine.sensitivity.rendering import Renderer
from pixart_tui.engine.typing import Transformer

_GPU_TOKENS: Final = 8192
"""Tokens of a batch from which on a GPU's kernels are long beside their launches: one guided image
of 1024 x 1024."""
_GRADIENT_TOKENS: Final = 65536
"""Tokens, over all draws, whose gradients are in memory at once: 4 bytes of the widest layer of
1152 channels are 1.2 GB."""
_CPU_BYTES: Final = 4 * 2**30
"""Bytes that kept states, and kept weights, may take on a CPU."""
_GPU_PART: Final = 0.25
"""The part of a GPU's free memory that each may take."""
_GRAPH: Final = 30
"""Memory of a block's graph, in sizes of its hidden states; and besides, for each quant type,"""
_ERRORS: Final = 13
"""the local errors of its layers."""
_DECODER_BYTES_PER_PIXEL: Final = 5000
"""Of the decoder's graph, for each byte of a number: about 10 GiB at 1024 x 1024 in bfloat16."""


def pass_plans(
    renderer: Renderer, quant_types: int, draws: int, *, replicas: int, low_memory: bool
) -> list[PassPlanned]:
    """Ways to use the memory, the fastest that should fit first, the smallest last.

    Args:
        renderer: Whose transformer goes back.
        quant_types: How many are measured.
        draws: Functionals of a sample.
        replicas: Passes side by side.
        low_memory: Whether only the smallest will do.
    """
    plans = list(_shrinking(renderer, quant_types, draws, replicas))
    return plans[-1:] if low_memory else plans


def _shrinking(
    renderer: Renderer, quant_types: int, draws: int, replicas: int
) -> Iterator[PassPlanned]:
    transformer: Transformer = renderer.transformer
    weight = next(transformer.parameters())
    settings, config = renderer.settings, transformer.config
    patch = renderer.pipeline.vae_scale_factor * config.patch_size
    tokens = (settings.height // patch) * (settings.width // patch)
    tokens *= 2 if settings.guidance_scale > 1 else 1
    on_gpu = weight.device.type == "cuda"
    samples = max(1, min(len(settings.samples), _GPU_TOKENS // tokens)) if on_gpu else 1
    draws = max(1, min(draws, _GRADIENT_TOKENS // (samples * tokens)))
    allowed = _allowed_bytes(weight.device) / replicas
    width = config.num_attention_heads * config.attention_head_dim
    calls = call_count(renderer.pipeline, settings.num_inference_steps, settings.timesteps)
    states = calls * (config.num_layers + 1) * tokens * width * weight.element_size()
    weights = sum(x.numel() * x.element_size() for x in transformer.parameters())
    decoder = settings.height * settings.width * _DECODER_BYTES_PER_PIXEL * weight.element_size()
    graphs = states * (_GRAPH + _ERRORS * quant_types)
    while True:
        # A GPU with room for the graphs has more use for draws side by side.
        keeps_graphs = not on_gpu and graphs <= allowed
        plan = PassPlanned(
            samples=samples,
            draws=draws,
            keeps_graphs=keeps_graphs,
            keeps_hidden_states=not keeps_graphs and samples * states <= allowed,
            keeps_weights=2 * quant_types * weights <= allowed,
            decoder_at_once=decoder <= allowed,
        )
        yield plan
        if draws > 1:
            draws //= 2
        elif samples > 1:
            samples //= 2
        elif keeps_graphs or plan.keeps_hidden_states or plan.keeps_weights or plan.decoder_at_once:
            allowed = 0
        else:
            return


def _allowed_bytes(device: torch.device) -> float:
    if device.type != "cuda":
        return _CPU_BYTES
    free, _total = torch.cuda.mem_get_info(device)
    return _GPU_PART * free
