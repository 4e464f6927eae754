"""A transformer's linear layers and self-attention, and their cost: nothing is computed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor, nn

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.engine.loading.libraries import PixArtTransformer2DModel
from pixart_tui.engine.typing import Config, Pipeline, Transformer

_GUIDED_BATCH: Final = 2
_QUERIES: Final = ".to_q"


def list_layers(
    pipeline: Pipeline, *, height: int, width: int, text_tokens: int, guidance: bool = True
) -> tuple[Layer, ...]:
    """List every ``nn.Linear`` of the pipeline's transformer, in the model's order.

    They are those of the unfused, unquantized model that the configuration describes, whatever
    has been done to the pipeline's own. A copy on the ``meta`` device runs once and counts rows.

    Args:
        pipeline: A PixArt-alpha or PixArt-Sigma pipeline.
        height: Image height in pixels.
        width: Image width in pixels.
        text_tokens: Tokens that every prompt is padded to.
        guidance: Whether classifier-free guidance doubles the batch.

    Returns:
        The layers with the rows of one denoising step of one image.
    """
    with torch.device("meta"), torch.no_grad():
        transformer = PixArtTransformer2DModel.from_config(pipeline.transformer.config).eval()
        latents = (height // pipeline.vae_scale_factor, width // pipeline.vae_scale_factor)
        rows = _count_rows(transformer, latents, text_tokens, _GUIDED_BATCH if guidance else 1)
    return tuple(
        Layer(
            fqn=fqn,
            in_features=linear.in_features,
            out_features=linear.out_features,
            has_bias=linear.bias is not None,
            rows=rows[fqn],
        )
        for fqn, linear in _linears(transformer).items()
    )


def list_attention(
    layers: Sequence[Layer], *, heads: int, guidance: bool = True
) -> tuple[Layer, ...]:
    """List the self-attention of every block, in the model's order.

    Args:
        layers: What :func:`list_layers` gives.
        heads: Of each block.
        guidance: Whether classifier-free guidance doubles the batch.
    """
    batch = _GUIDED_BATCH if guidance else 1
    return tuple(
        Layer(
            fqn=layer.fqn.removesuffix(_QUERIES),
            in_features=layer.rows // batch,
            out_features=layer.out_features,
            has_bias=False,
            rows=layer.rows,
            heads=heads,
            operation="attention",
        )
        for layer in layers
        if layer.fqn.endswith(f".attn1{_QUERIES}")
    )


def _linears(transformer: nn.Module) -> dict[str, nn.Linear]:
    return {n: m for n, m in transformer.named_modules() if isinstance(m, nn.Linear)}


def _count_rows(
    transformer: Transformer, latents: tuple[int, int], text_tokens: int, batch: int
) -> dict[str, int]:
    rows = dict.fromkeys(_linears(transformer), 0)
    for fqn, linear in _linears(transformer).items():
        linear.register_forward_pre_hook(_counter(rows, fqn))
    config = transformer.config
    transformer(
        torch.empty(batch, config.in_channels, *latents),
        encoder_hidden_states=torch.empty(batch, text_tokens, _caption_channels(config)),
        timestep=torch.empty(batch),
        added_cond_kwargs={
            "resolution": torch.empty(batch, 2),
            "aspect_ratio": torch.empty(batch, 1),
        },
        return_dict=False,
    )
    return rows


def _caption_channels(config: Config) -> int:
    return int(config.caption_channels or config.cross_attention_dim)


def _counter(rows: dict[str, int], fqn: str) -> Callable[[nn.Linear, tuple[Tensor]], None]:
    def count(linear: nn.Linear, inputs: tuple[Tensor]) -> None:
        rows[fqn] += inputs[0].numel() // linear.in_features

    return count
