"""A profile: every measurement of a model's layers, and the scores that follow from them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.timesteps import Timesteps
from pixart_tui.domain.values import Value

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics


class Conditions(Value):
    """What a profile was measured on; two profiles with equal conditions are comparable.

    Attributes:
        model: The model as it was asked for.
        family: Which PixArt it is.
        model_fingerprint: Hash over configurations and weights.
        quant_type: The quant type of every measurement.
        execution: ``simulated`` (reference numerics) or ``real`` (the kernel that deployment runs).
        method: How the layers were measured.
        draws: Random functionals of each sample's image; 0 with the exhaustive method.
        prompts: The prompts, in order.
        negative_prompt: What guidance steered away from.
        seeds: One image per prompt and seed.
        num_inference_steps: Denoising steps.
        guidance_scale: Classifier-free guidance.
        height: Pixels.
        width: Pixels.
        baseline_dtype: The dtype of the undisturbed images.
        floor_dtype: The dtype of deployment, whose own error is the deployment floor; None where
            the baseline has that dtype itself, so that there is no floor to measure.
        timesteps: Timesteps in place of a number of steps; empty for none.
        num_calls: Transformer calls of an image where they are not as many as its steps, else 0.
    """

    model: str
    family: Literal["alpha", "sigma"]
    model_fingerprint: str
    quant_type: str
    execution: Literal["simulated", "real"]
    method: str
    draws: int = 0
    prompts: tuple[str, ...]
    negative_prompt: str
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    baseline_dtype: str
    floor_dtype: str | None
    timesteps: Timesteps = ()
    num_calls: int = 0

    @property
    def calls(self) -> int:
        """Transformer calls of an image; some schedulers make more than one a step."""
        return self.num_calls or self.num_inference_steps

    @property
    def call_name(self) -> str:
        """What a transformer call is told as: ``step`` where each step makes one, else ``call``."""
        return "call" if self.num_calls else "step"

    @property
    def samples(self) -> int:
        """Prompts times seeds."""
        return len(self.prompts) * len(self.seeds)


class LayerStatus(StrEnum):
    """What is known of a layer."""

    PENDING = "pending"
    MEASURED = "measured"
    EXCLUDED = "excluded"
    NOT_FINITE = "not_finite"


class LayerScore(Value):
    """One layer's sensitivity over all prompts and seeds.

    Attributes:
        layer: The layer.
        status: Whether it was measured, and if not, why there are no figures.
        reason: Why it is excluded; empty otherwise.
        samples: Prompts and seeds it was measured on.
        ssim: Mean SSIM to the undisturbed images; may exceed 1 by rounding.
        ssim_low: Lower end of its 95% interval for other prompts of the same kind; for these
            images where there is one prompt.
        ssim_high: Its upper end.
        these_low: Lower end of the 95% interval for these images; None where images were made,
            which leaves no doubt about them.
        these_high: Its upper end.
        degrees: Effective degrees of freedom of the estimate; None where images were made.
        ssim_std: Standard deviation over prompts and seeds; None where no images were made.
        psnr_db: Mean PSNR in dB of the images that differ; None where none were made.
        latent_mse: Mean squared error of the final latents; None where no images were made.
        latency_s: Its measured time, None where the quant type was not timed on a real kernel.
        rank: 1 for the most sensitive; None where there is no figure.
        tied_from: The first rank of the layers that cannot be told apart from it.
        tied: Whether there are such layers.
    """

    layer: Layer
    status: LayerStatus
    reason: str = ""
    samples: int = 0
    ssim: float | None = None
    ssim_low: float | None = None
    ssim_high: float | None = None
    these_low: float | None = None
    these_high: float | None = None
    degrees: float | None = None
    ssim_std: float | None = None
    psnr_db: float | None = None
    latent_mse: float | None = None
    latency_s: Latency | None = None
    rank: int | None = None
    tied_from: int | None = None
    tied: bool = False

    @property
    def loss(self) -> float | None:
        """1 - SSIM."""
        return None if self.ssim is None else 1.0 - self.ssim

    @property
    def does_not_pay(self) -> bool:
        """Whether it can be quantized and was timed to be no faster for it."""
        timed = self.latency_s is not None and not self.latency_s.pays
        return timed and self.status is LayerStatus.MEASURED


class Profile(Value):
    """All measurements of a model and what they were measured on.

    Attributes:
        conditions: What it was measured on.
        layers: Every linear layer, in the model's order.
        excluded: Layers that the real kernels cannot quantize, with the reason.
        measurements: The measurements, one per key.
        floor: The deployment dtype with nothing quantized, against the same baseline.
        latencies: Layer to measured time; empty where the quant type was not timed.
        effects: What the adjoint method measured, sample by sample.
        scored: The scores as a sidecar keeps them, whose effects lie in a file of their own; None
            where they are worked out.
    """

    conditions: Conditions
    layers: tuple[Layer, ...]
    excluded: Mapping[str, str]
    measurements: tuple[Measurement, ...]
    floor: tuple[Comparison, ...] = ()
    latencies: Mapping[str, Latency] = {}
    effects: tuple[SampleEffects, ...] = ()
    scored: tuple[LayerScore, ...] | None = None

    def effect_statistics(self) -> EffectStatistics | None:
        """What the effects say; None where there are none. It takes a while for many samples."""
        if not self.effects:
            return None
        # Only now: it needs numpy, which takes a viewer longer to load than its first paint.
        from pixart_tui.domain.profiles.effect_statistics import EffectStatistics

        return EffectStatistics.of(self.effects, self.conditions.quant_type)

    def scores(self, found: EffectStatistics | None = None) -> tuple[LayerScore, ...]:
        """Every layer's score, in the model's order.

        Args:
            found: What the effects say, where that is worked out already.
        """
        if self.scored is not None:
            return self.scored
        # Only now, as above.
        from pixart_tui.domain.profiles.scoring import scores_of

        scores = scores_of(self, found or self.effect_statistics())
        timed = ((score, self.latencies.get(score.layer.fqn)) for score in scores)
        return tuple(x.model_copy(update={"latency_s": latency}) for x, latency in timed)

    @property
    def deployment_floor(self) -> float | None:
        """Mean 1 - SSIM of the deployment dtype with nothing quantized."""
        from pixart_tui.domain.profiles.scoring import mean

        return mean([sample.loss for sample in self.floor])

    @property
    def measurement_noise(self) -> float | None:
        """Median over the layers of the standard deviation of SSIM over prompts and seeds."""
        return noise_of(self.scores())


def noise_of(scores: Iterable[LayerScore]) -> float | None:
    """The measurement noise of scores that are there already."""
    spreads = [s.ssim_std for s in scores if s.ssim_std is not None and s.samples > 1]
    return statistics.median(spreads) if spreads else None


def merge_measurements(batches: Iterable[Iterable[Measurement]]) -> tuple[Measurement, ...]:
    """All measurements of several batches, the first of each key; idempotent."""
    merged: dict[tuple[str, str, str, int], Measurement] = {}
    for batch in batches:
        for measurement in batch:
            merged.setdefault(measurement.key, measurement)
    return tuple(merged.values())


def ranked(scores: Iterable[LayerScore]) -> list[LayerScore]:
    """The measured layers, most sensitive first; equal SSIM keeps the model's order."""
    measured = [s for s in scores if s.ssim is not None]
    return sorted(measured, key=lambda s: s.ssim if s.ssim is not None else 0.0)
