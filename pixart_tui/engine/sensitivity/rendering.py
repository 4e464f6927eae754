"""The images of a profile: the same prompts, seeds and noise, whatever disturbs the model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor, nn

from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.engine.image_metrics import (
    finite_per_sample,
    mse_per_sample,
    psnr_db_per_image,
    ssim_per_image,
)
from pixart_tui.engine.quant.simulated import BatchLayout
from pixart_tui.engine.sampling import (
    Conditioning,
    decode,
    denoise,
    encode_prompts,
    initial_latents,
    memoized_conditioning,
)
from pixart_tui.engine.sensitivity.memory import release_text_encoder
from pixart_tui.engine.sensitivity.parallel import replica_of

_BATCH_LATENT_PIXELS: Final = 4 * 128 * 128
_CPU_BATCH_LIMIT: Final = 16
_PROMPTS_ENCODED_AT_ONCE: Final = 16

Modification = Callable[[BatchLayout], AbstractContextManager[None]]


def unmodified(_layout: BatchLayout) -> AbstractContextManager[None]:
    """Nothing is quantized."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Sample:
    """One image of a profile: what it shows and the noise it starts from."""

    prompt: str
    seed: int


@dataclass(frozen=True, slots=True)
class Settings:
    """How every image of a profile is made.

    Attributes:
        samples: Which images.
        negative_prompt: What guidance steers away from.
        num_inference_steps: Denoising steps.
        guidance_scale: Classifier-free guidance.
        height: Pixels.
        width: Pixels.
        max_sequence_length: Text tokens.
        timesteps: Timesteps in place of a number of steps; empty for none.
    """

    samples: tuple[Sample, ...]
    negative_prompt: str
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    max_sequence_length: int
    timesteps: tuple[int, ...] = ()

    def batch_size(self, device: torch.device) -> int:
        """Images at once, before anything has run out of memory; it repeats, so results do.

        Four images of 1024 x 1024, or as many smaller ones as have the pixels of four.
        """
        return min(self.rows_at_once(device), len(self.samples))

    def rows_at_once(self, device: torch.device) -> int:
        """The same, however few samples there are: calls that may share a batch."""
        fitting = _BATCH_LATENT_PIXELS // ((self.height // 8) * (self.width // 8))
        return max(1, min(fitting, _CPU_BATCH_LIMIT) if device.type == "cpu" else fitting)

    def batches(self, size: int) -> list[tuple[Sample, ...]]:
        """The samples, ``size`` at a time."""
        return [self.samples[i : i + size] for i in range(0, len(self.samples), size)]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The images of one batch.

    Attributes:
        samples: Which images.
        latents: (n, 4, height / 8, width / 8), float32.
        images: (n, 3, height, width), float32 in [0, 1].
    """

    samples: tuple[Sample, ...]
    latents: Tensor
    images: Tensor

    def to(self, device: torch.device) -> Rendered:
        """The same images on a device."""
        return replace(self, latents=self.latents.to(device), images=self.images.to(device))


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one batch."""

    samples: tuple[Sample, ...]
    conditioning: Conditioning
    noise: Tensor


class Renderer:
    """Makes the images of a profile with a pipeline; encodes the prompts once.

    Args:
        pipeline: A PixArt pipeline. It is the renderer's from here on: once the prompts are
            encoded, its text encoder is freed.
        settings: How the images are made.
        check: Called after each denoising step; may raise to give up.
    """

    def __init__(self, pipeline: Any, settings: Settings, check: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._check = check
        self._prompts = list(dict.fromkeys(sample.prompt for sample in settings.samples))
        self._encoded = _encode(pipeline, self._prompts, settings)
        release_text_encoder(pipeline)

    @property
    def pipeline(self) -> Any:
        """The pipeline, without its text encoder."""
        return self._pipeline

    @property
    def transformer(self) -> nn.Module:
        """The module whose layers can be swapped."""
        transformer: nn.Module = self._pipeline.transformer
        return transformer

    def replica(self) -> Renderer:
        """Another renderer of the same images, with a transformer of its own."""
        replica = copy(self)
        replica._pipeline = replica_of(self._pipeline)
        return replica

    @property
    def settings(self) -> Settings:
        """How the images are made."""
        return self._settings

    def of(self, samples: tuple[Sample, ...]) -> Renderer:
        """A renderer of some of the images, with the same transformer."""
        other = copy(self)
        other._settings = replace(self._settings, samples=samples)
        return other

    def render(self, batch_size: int, modify: Modification = unmodified) -> Iterator[Rendered]:
        """The images, batch by batch, on the pipeline's device.

        Args:
            batch_size: Images at once.
            modify: Opened around each batch: what is changed in the model meanwhile.
        """
        for samples in self._settings.batches(batch_size):
            yield self._render_batch(self.prepare(samples), modify)

    def prepare(self, samples: tuple[Sample, ...]) -> Batch:
        """The inputs of one batch."""
        noise = initial_latents(
            self._pipeline,
            [sample.seed for sample in samples],
            self._settings.height,
            self._settings.width,
            torch.float32,  # whatever the model's dtype, so that only the model differs
        )
        return Batch(samples, self.condition(samples), noise)

    def condition(self, samples: Sequence[Sample]) -> Conditioning:
        """The encoded prompts of some samples."""
        return _rows_of(self._encoded, [self._prompts.index(x.prompt) for x in samples])

    def _render_batch(self, batch: Batch, modify: Modification) -> Rendered:
        guidance = 2 if self._settings.guidance_scale > 1 else 1
        layout = BatchLayout(guidance, len(batch.samples))
        with modify(layout), memoized_conditioning(self._pipeline.transformer):
            latents = self._denoise(batch)
        return Rendered(batch.samples, latents.float(), decode(self._pipeline, latents).float())

    def _denoise(self, batch: Batch) -> Tensor:
        """The only place where a profile runs the whole transformer."""
        return denoise(
            self._pipeline,
            batch.conditioning,
            batch.noise,
            seeds=[sample.seed for sample in batch.samples],
            num_inference_steps=self._settings.num_inference_steps,
            timesteps=self._settings.timesteps,
            guidance_scale=self._settings.guidance_scale,
            height=self._settings.height,
            width=self._settings.width,
            on_step=lambda _step: self._check(),
        )


def _encode(pipeline: Any, prompts: Sequence[str], settings: Settings) -> Conditioning:
    encoded = [
        encode_prompts(
            pipeline,
            prompts[i : i + _PROMPTS_ENCODED_AT_ONCE],
            settings.negative_prompt,
            settings.max_sequence_length,
        )
        for i in range(0, len(prompts), _PROMPTS_ENCODED_AT_ONCE)
    ]
    return Conditioning(
        torch.cat([part.prompt_embeds for part in encoded]),
        torch.cat([part.prompt_mask for part in encoded]),
        torch.cat([part.negative_embeds for part in encoded]),
        torch.cat([part.negative_mask for part in encoded]),
    )


def _rows_of(encoded: Conditioning, rows: list[int]) -> Conditioning:
    return Conditioning(
        encoded.prompt_embeds[rows],
        encoded.prompt_mask[rows],
        encoded.negative_embeds[rows],
        encoded.negative_mask[rows],
    )


def compare(rendered: Rendered, baseline: Rendered) -> tuple[Comparison, ...]:
    """Each image against its reference image of the same batch, on the images' device."""
    if rendered.samples != baseline.samples:
        raise ValueError("two batches of different samples have no images in common")
    tensors = (rendered.latents, rendered.images, baseline.latents, baseline.images)
    return tuple(
        _compare_one(sample, *(tensor[i : i + 1] for tensor in tensors))
        for i, sample in enumerate(rendered.samples)
    )


def _compare_one(
    sample: Sample,
    latents: Tensor,
    image: Tensor,
    reference_latents: Tensor,
    reference_image: Tensor,
) -> Comparison:
    """One image at a time, because SSIM in float64 takes ten times the memory of the image."""
    if not finite_per_sample(latents, image)[0]:
        return Comparison(prompt=sample.prompt, seed=sample.seed, finite=False)
    return Comparison(
        prompt=sample.prompt,
        seed=sample.seed,
        ssim=ssim_per_image(image, reference_image)[0],
        psnr_db=psnr_db_per_image(image, reference_image)[0],
        latent_mse=mse_per_sample(latents, reference_latents)[0],
    )
