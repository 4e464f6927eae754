"""The denoising loop that profiles and benchmarks share: the stock pipeline call, taken apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import torch
from torch import Tensor

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.memoizing import memoized_conditioning
from pixart_tui.engine.schedule import Schedule
from pixart_tui.engine.typing import Pipeline, Transformer, Vae

__all__ = [
    "Conditioning",
    "check_side",
    "decode",
    "denoise",
    "encode_prompts",
    "guide",
    "initial_latents",
    "memoized_conditioning",
    "micro_conditions",
]


_DECODE_PIXELS_PER_CALL: Final = 1024 * 1024


@dataclass(frozen=True)
class Conditioning:
    """Encoded prompts: what the transformer attends to. The batch is the prompts.

    Attributes:
        prompt_embeds: Text embeddings, (n, tokens, channels), in the text encoder's dtype.
        prompt_mask: 1 for a token, 0 for padding, (n, tokens), integers.
        negative_embeds: Embeddings of the negative prompt, shaped like ``prompt_embeds``.
        negative_mask: Mask of the negative prompt, shaped like ``prompt_mask``.
    """

    prompt_embeds: Tensor
    prompt_mask: Tensor
    negative_embeds: Tensor
    negative_mask: Tensor

    def batch(self, guided: bool) -> tuple[Tensor, Tensor]:
        """Embeddings and mask of one transformer call: with guidance, the negative rows first."""
        return self._guided_batch if guided else (self.prompt_embeds, self.prompt_mask)

    @cached_property
    def _guided_batch(self) -> tuple[Tensor, Tensor]:
        # Kept, so that repeated calls hand the same storage to `memoized_conditioning`.
        embeds = torch.cat([self.negative_embeds, self.prompt_embeds])
        return embeds, torch.cat([self.negative_mask, self.prompt_mask])


@torch.no_grad()
def encode_prompts(
    pipeline: Pipeline, prompts: Sequence[str], negative_prompt: str, max_sequence_length: int
) -> Conditioning:
    """Encode prompts with the pipeline's own tokenizer and text encoder, without caption cleaning.

    The negative prompt is encoded once and repeated for each prompt.

    Args:
        pipeline: A PixArt-alpha or PixArt-Sigma pipeline.
        prompts: One text per sample, at least one.
        negative_prompt: What guidance steers away from, the same for every sample.
        max_sequence_length: Tokens that every prompt is cut or padded to.

    Returns:
        The conditioning of ``len(prompts)`` samples, on the pipeline's device.
    """
    options = {
        "do_classifier_free_guidance": False,
        "max_sequence_length": max_sequence_length,
        "clean_caption": False,
    }
    embeds, mask, _, _ = pipeline.encode_prompt(list(prompts), **options)
    negative, negative_mask, _, _ = pipeline.encode_prompt([negative_prompt], **options)
    return Conditioning(embeds, mask, negative.expand_as(embeds), negative_mask.expand_as(mask))


def initial_latents(
    pipeline: Pipeline,
    seeds: Sequence[int],
    height: int,
    width: int,
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Draw each sample's noise as the stock pipeline draws it for that sample alone.

    Sample i equals what ``pipe(prompt, generator=torch.Generator("cpu").manual_seed(seeds[i]))``
    starts from, before the scheduler's ``init_noise_sigma``, which `denoise` applies.

    Args:
        pipeline: A PixArt pipeline; it gives channels, scale and device.
        seeds: One seed per sample.
        height: Image height in pixels.
        width: Image width in pixels.
        dtype: What the noise is drawn in, by default the text encoder's dtype as the stock
            pipeline does. The same seed may give quite another noise in another dtype (torch 2.11
            in bfloat16), so a comparison of dtypes has to name one.

    Returns:
        Noise, (len(seeds), channels, height / 8, width / 8).

    Raises:
        RequestError: A side is not a multiple of the patch size in pixels (16).
    """
    scale, config = pipeline.vae_scale_factor, pipeline.transformer.config
    check_side("height", height, scale * config.patch_size)
    check_side("width", width, scale * config.patch_size)
    shape = (1, config.in_channels, height // scale, width // scale)
    noise = [
        torch.randn(
            shape,
            generator=torch.Generator("cpu").manual_seed(seed),
            dtype=dtype or pipeline.text_encoder.dtype,
        )
        for seed in seeds
    ]
    return torch.cat(noise).to(pipeline._execution_device)


@torch.no_grad()
def denoise(
    pipeline: Pipeline,
    conditioning: Conditioning,
    latents: Tensor,
    *,
    seeds: Sequence[int],
    num_inference_steps: int,
    timesteps: Sequence[int] = (),
    guidance_scale: float,
    height: int,
    width: int,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Run the stock pipeline's denoising loop on a batch, with a scheduler of its own.

    The result is that of the pipeline call with ``use_resolution_binning=False``. The noise that a
    stochastic scheduler adds belongs to the sample and the call, whatever the batch (`Schedule`).

    Args:
        pipeline: A PixArt-alpha or PixArt-Sigma pipeline; its scheduler's state is not touched.
        conditioning: The encoded prompts of n samples.
        latents: Noise from `initial_latents`, (n, channels, h, w); cast to the embeddings' dtype.
        seeds: The seed of each sample, which its noise is drawn from.
        num_inference_steps: Denoising steps; ignored where there are timesteps.
        timesteps: Timesteps in place of a number of steps, descending.
        guidance_scale: Classifier-free guidance; at most 1 turns it off.
        height: Image height in pixels (a micro-condition of the 1024 models of PixArt-alpha).
        width: Image width in pixels.
        on_step: Called with the call's index after each call; it may raise to cancel.

    Returns:
        The final latents, shaped like ``latents``, in the embeddings' dtype.
    """
    guided = guidance_scale > 1.0
    embeds, mask = conditioning.batch(guided)
    schedule = Schedule(
        pipeline,
        num_inference_steps,
        timesteps,
        seeds=seeds,
        shape=latents.shape,
        device=embeds.device,
    )
    micro = micro_conditions(pipeline.transformer, embeds, height, width)
    samples: Tensor = latents.to(embeds.device, embeds.dtype) * schedule.init_noise_sigma
    for index, timestep in enumerate(schedule.timesteps):
        inputs = schedule.inputs(samples, index)
        prediction = pipeline.transformer(
            torch.cat([inputs] * 2) if guided else inputs,
            encoder_hidden_states=embeds,
            encoder_attention_mask=mask,
            timestep=timestep[None].expand(embeds.shape[0]),
            added_cond_kwargs=micro,
            return_dict=False,
        )[0]
        noise = guide(prediction, guidance_scale) if guided else prediction
        samples = schedule.step(noise, index, samples)
        if on_step is not None:
            on_step(index)
    return samples


@torch.no_grad()
def decode(pipeline: Pipeline, latents: Tensor) -> Tensor:
    """Decode latents to images as the stock pipeline does for ``output_type="pt"``.

    Large images are decoded a few at a time, which bounds the memory.

    Args:
        pipeline: A PixArt pipeline.
        latents: Final latents, (n, channels, h, w).

    Returns:
        Images in [0, 1], (n, 3, height, width), float32; NaN where the latents were NaN.
    """
    pixels = latents.shape[-2] * latents.shape[-1] * pipeline.vae_scale_factor**2
    chunks = torch.split(latents, max(1, _DECODE_PIXELS_PER_CALL // pixels))
    return torch.cat([_decode_chunk(pipeline.vae, chunk) for chunk in chunks])


def check_side(name: str, pixels: int, multiple: int) -> None:
    """Refuses a side that the patches do not cover.

    Raises:
        RequestError: It is not a multiple of a patch in pixels; it names the nearest that is.
    """
    if pixels < multiple or pixels % multiple:
        raise RequestError(
            f"the {name} does not fit the model",
            cause=f"{name} is {pixels}; this model draws multiples of {multiple} pixels",
            next_step=f"Choose {max(1, round(pixels / multiple)) * multiple}.",
        )


def guide(prediction: Tensor, guidance_scale: float) -> Tensor:
    """The guided noise prediction, (n, ...), from the transformer's, negative rows first."""
    unconditional, conditional = prediction.chunk(2)
    return unconditional + guidance_scale * (conditional - unconditional)


def micro_conditions(
    transformer: Transformer, embeds: Tensor, height: int, width: int
) -> dict[str, Tensor | None]:
    """Builds the size conditions of the 1024 models of PixArt-alpha, one row for each text."""
    if not transformer.use_additional_conditions:
        return {"resolution": None, "aspect_ratio": None}
    rows = embeds.shape[0]
    resolution = torch.tensor([height, width]).repeat(rows, 1)
    aspect_ratio = torch.tensor([float(height / width)]).repeat(rows, 1)
    return {
        "resolution": resolution.to(embeds.device, embeds.dtype),
        "aspect_ratio": aspect_ratio.to(embeds.device, embeds.dtype),
    }


def _decode_chunk(vae: Vae, latents: Tensor) -> Tensor:
    image: Tensor = vae.decode(
        latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False
    )[0]
    # In the VAE's dtype, as the stock image processor does it, so that the bits agree.
    return (image * 0.5 + 0.5).clamp(0, 1).float()
