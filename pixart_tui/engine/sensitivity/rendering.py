"""The images of a profile: the same prompts, seeds and noise, whatever disturbs the model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from copy import copy
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn

from pixart_tui.domain.measurements import Comparison
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
from pixart_tui.engine.sensitivity.lanes import twin_of

_BATCH_LATENT_PIXELS: Final = 4 * 128 * 128
_BATCH_LIMIT: Final = 16


Disturbance = Callable[[BatchLayout], AbstractContextManager[None]]


def _undisturbed(_layout: BatchLayout) -> AbstractContextManager[None]:
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
    """

    samples: tuple[Sample, ...]
    negative_prompt: str
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    max_sequence_length: int

    def batches(self) -> list[tuple[Sample, ...]]:
        """The samples in batches that depend on the image size alone, so that results repeat."""
        per_image = (self.height // 8) * (self.width // 8)
        size = max(1, min(_BATCH_LIMIT, _BATCH_LATENT_PIXELS // per_image))
        return [self.samples[i : i + size] for i in range(0, len(self.samples), size)]


@dataclass(frozen=True, slots=True)
class Rendered:
    """The images of all samples.

    Attributes:
        latents: (n, 4, height / 8, width / 8), float32, on the CPU.
        images: (n, 3, height, width), float32 in [0, 1], on the CPU.
    """

    latents: Tensor
    images: Tensor


@dataclass(frozen=True, slots=True)
class Batch:
    """The inputs of one batch: encoded once, denoised for the baseline and for every layer."""

    images: int
    conditioning: Conditioning
    noise: Tensor


class Renderer:
    """Makes the images of a profile with a pipeline; encodes the prompts once.

    Args:
        pipeline: A PixArt pipeline.
        settings: How the images are made.
        check: Called after each denoising step; may raise to give up.
    """

    def __init__(self, pipeline: Any, settings: Settings, check: Callable[[], None]) -> None:
        self._pipeline = pipeline
        self._settings = settings
        self._check = check
        self._batches = [self._prepare(samples) for samples in settings.batches()]

    @property
    def transformer(self) -> nn.Module:
        """The module whose layers can be swapped."""
        transformer: nn.Module = self._pipeline.transformer
        return transformer

    def twin(self) -> Renderer:
        """Another renderer of the same images, with a transformer of its own."""
        twin = copy(self)
        twin._pipeline = twin_of(self._pipeline)
        return twin

    def render(self, disturb: Disturbance = _undisturbed) -> Rendered:
        """All images.

        Args:
            disturb: Opened around each batch: what is changed in the model meanwhile.
        """
        rendered = [self._render_batch(batch, disturb) for batch in self._batches]
        return Rendered(
            torch.cat([r.latents for r in rendered]), torch.cat([r.images for r in rendered])
        )

    def _prepare(self, samples: Sequence[Sample]) -> Batch:
        settings = self._settings
        prompts = [sample.prompt for sample in samples]
        return Batch(
            len(samples),
            encode_prompts(
                self._pipeline, prompts, settings.negative_prompt, settings.max_sequence_length
            ),
            initial_latents(
                self._pipeline,
                [sample.seed for sample in samples],
                settings.height,
                settings.width,
                torch.float32,  # whatever the model's dtype, so that only the model differs
            ),
        )

    def _render_batch(self, batch: Batch, disturb: Disturbance) -> Rendered:
        layout = BatchLayout(2 if self._settings.guidance_scale > 1 else 1, batch.images)
        with disturb(layout), memoized_conditioning(self._pipeline.transformer):
            latents = self._denoise(batch)
        images = decode(self._pipeline, latents)
        return Rendered(latents.float().cpu(), images.float().cpu())

    def _denoise(self, batch: Batch) -> Tensor:
        return denoise(
            self._pipeline,
            batch.conditioning,
            batch.noise,
            num_inference_steps=self._settings.num_inference_steps,
            guidance_scale=self._settings.guidance_scale,
            height=self._settings.height,
            width=self._settings.width,
            on_step=lambda _step: self._check(),
        )


def compare(
    rendered: Rendered, baseline: Rendered, samples: Sequence[Sample]
) -> tuple[Comparison, ...]:
    """Each image against its undisturbed twin."""
    finite = finite_per_sample(rendered.latents, rendered.images)
    ssim = ssim_per_image(rendered.images, baseline.images)
    psnr_db = psnr_db_per_image(rendered.images, baseline.images)
    latent_mse = mse_per_sample(rendered.latents, baseline.latents)
    return tuple(
        Comparison(
            prompt=sample.prompt,
            seed=sample.seed,
            ssim=ssim[i],
            psnr_db=psnr_db[i],
            latent_mse=latent_mse[i],
        )
        if finite[i]
        else Comparison(prompt=sample.prompt, seed=sample.seed, finite=False)
        for i, sample in enumerate(samples)
    )
