"""Brute force in large batches: the same images with other sets of layers quantized, side by side.

A GPU is idle for half of a small batch. Here each batch holds the reference images and, behind
them, the same images once for each set of layers; a layer computes its quantized output for the
rows of the sets that hold it. What is compared was made in one batch, by the same kernels.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeAlias, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pixart_tui.domain.layers.quant_types import QuantType
from pixart_tui.engine.image_metrics import ssim_per_image
from pixart_tui.engine.precision import exact_float32
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear
from pixart_tui.engine.sampling import decode, guide, micro_conditions
from pixart_tui.engine.schedule import Schedule
from pixart_tui.engine.sensitivity.rendering import Renderer

Floats: TypeAlias = npt.NDArray[np.float64]
# diffusers ships no types; the name says what is meant.
Pipeline: TypeAlias = Any

_TOKENS: Final = 16384


class Variants:
    """Measures sets of layers on the images of a renderer.

    Args:
        renderer: Makes the images.
        quant_type: What layers are quantized to, with the reference numerics.
    """

    def __init__(self, renderer: Renderer, quant_type: QuantType) -> None:
        self._renderer, self._quant_type = renderer, quant_type
        settings = renderer.settings
        self._halves = 2 if settings.guidance_scale > 1 else 1
        patch = renderer.pipeline.vae_scale_factor * renderer.pipeline.transformer.config.patch_size
        tokens = (settings.height // patch) * (settings.width // patch)
        rows = self._halves * len(settings.samples) * tokens
        self._at_once = max(1, _TOKENS // rows - 1)

    def losses(self, sets: Sequence[Collection[str]]) -> Floats:
        """1 - SSIM of each set of layers, quantized together, and sample, (sets, samples)."""
        parts = [sets[i : i + self._at_once] for i in range(0, len(sets), self._at_once)]
        return np.concatenate([self._losses(part) for part in parts])

    @torch.no_grad()
    def _losses(self, sets: Sequence[Collection[str]]) -> Floats:
        with exact_float32(), self._quantized(sets):
            latents = self._latents(1 + len(sets))
            images = torch.cat(
                [decode(self._renderer.pipeline, x) for x in latents.chunk(1 + len(sets))]
            ).float()
        first, *others = images.chunk(1 + len(sets))
        return np.array([[1 - x for x in ssim_per_image(made, first)] for made in others])

    def _latents(self, variants: int) -> Tensor:
        """The final latents of every variant, one behind another."""
        renderer, settings = self._renderer, self._renderer.settings
        batch = renderer.prepare(settings.samples)
        guided = self._halves > 1
        embeds, mask = (x.repeat(variants, *[1] * (x.dim() - 1)) for x in _texts(batch, guided))
        transformer: Any = renderer.transformer
        latents = batch.noise.to(embeds.dtype).repeat(variants, 1, 1, 1)
        schedule = Schedule(
            renderer.pipeline,
            settings.num_inference_steps,
            settings.timesteps,
            seeds=[sample.seed for sample in batch.samples] * variants,
            shape=latents.shape,
            device=latents.device,
        )
        micro = micro_conditions(transformer, embeds, settings.height, settings.width)
        latents = latents * schedule.init_noise_sigma
        for at, timestep in enumerate(schedule.timesteps):
            inputs = schedule.inputs(latents, at).chunk(variants)
            predictions = transformer(
                torch.cat([x.repeat(self._halves, 1, 1, 1) for x in inputs]),
                encoder_hidden_states=embeds,
                encoder_attention_mask=mask,
                timestep=timestep[None].expand(len(embeds)),
                added_cond_kwargs=micro,
                return_dict=False,
            )[0].chunk(variants)
            made = [guide(x, settings.guidance_scale) if guided else x for x in predictions]
            latents = schedule.step(torch.cat(made), at, latents)
        return latents

    @contextmanager
    def _quantized(self, sets: Sequence[Collection[str]]) -> Iterator[None]:
        """Each layer is quantized in the rows of the sets that hold it."""
        layout = BatchLayout(self._halves, len(self._renderer.settings.samples))
        changed = []
        for fqn in dict.fromkeys(fqn for chosen in sets for fqn in chosen):
            linear = cast(nn.Linear, self._renderer.transformer.get_submodule(fqn))
            where = [1 + i for i, chosen in enumerate(sets) if fqn in chosen]
            changed.append((linear, linear.__dict__.get("forward")))
            quantized = SimulatedLinear(linear, self._quant_type, layout)
            linear.forward = _partly(linear, quantized, where, 1 + len(sets))  # type: ignore[method-assign]
        try:
            yield
        finally:
            for linear, before in changed:
                del linear.__dict__["forward"]
                if before is not None:
                    linear.__dict__["forward"] = before


def _texts(batch: Any, guided: bool) -> tuple[Tensor, Tensor]:
    found: tuple[Tensor, Tensor] = batch.conditioning.batch(guided)
    return found


def _partly(linear: nn.Linear, quantized: nn.Module, where: Sequence[int], variants: int) -> Any:
    plain = linear.forward

    def forward(x: Tensor) -> Tensor:
        y = plain(x)
        rows = len(x) // variants
        for variant in where:
            span = slice(variant * rows, (variant + 1) * rows)
            y[span] = quantized(x[span])
        return y

    return forward
