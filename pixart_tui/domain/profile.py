"""A profile: every measurement of a model's layers, and the scores that follow from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.estimation import Estimates, estimate, score_by_sample
from pixart_tui.domain.latency import Latency
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.measurements import Comparison, Measurement
from pixart_tui.domain.probing import Probing, Stability
from pixart_tui.domain.ranking import Rank, paired_bootstrap, rank_layers
from pixart_tui.domain.values import Value

_BOOTSTRAP_SAMPLES: Final = 1000
_TAIL: Final = 2.5
"""Percent beyond each end of a 95% interval."""


class Conditions(Value):
    """What a profile was measured on; two profiles with equal conditions are comparable.

    Attributes:
        model: The model as it was asked for.
        family: Which PixArt it is.
        model_fingerprint: Hash over configurations and weights.
        quant_type: The quant type of every measurement.
        execution: ``simulated`` (reference numerics) or ``real`` (the kernel that deployment runs).
        method: How the layers were measured.
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
    """

    model: str
    family: Literal["alpha", "sigma"]
    model_fingerprint: str
    quant_type: str
    execution: Literal["simulated", "real"]
    method: str
    prompts: tuple[str, ...]
    negative_prompt: str
    seeds: tuple[int, ...]
    num_inference_steps: int
    guidance_scale: float
    height: int
    width: int
    baseline_dtype: str
    floor_dtype: str | None


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
        imaged: Of these, those whose whole image was made; fewer where it is estimated.
        estimated: Whether ``ssim`` is an estimate from teacher-forced errors.
        ssim: Mean SSIM to the undisturbed images.
        ssim_low: Lower end of its 95% interval: bootstrap over prompts and seeds, and for an
            estimate also the doubt in it.
        ssim_high: Its upper end.
        ssim_std: Standard deviation over prompts and seeds; None for an estimate.
        psnr_db: Mean PSNR in dB of the images that differ.
        latent_mse: Mean squared error of the final latents.
        latency_s: Its measured time, None where the quant type was not timed on a real kernel.
        rank: 1 for the most sensitive; None where there is no figure.
        tied_from: The first rank of the layers that cannot be told apart from it.
        tied: Whether there are such layers.
    """

    layer: Layer
    status: LayerStatus
    reason: str = ""
    samples: int = 0
    imaged: int = 0
    estimated: bool = False
    ssim: float | None = None
    ssim_low: float | None = None
    ssim_high: float | None = None
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
        probing: The teacher-forced errors; None with the exhaustive method.
        stability: Whether trajectories fork; None where it was not looked into.
    """

    conditions: Conditions
    layers: tuple[Layer, ...]
    excluded: Mapping[str, str]
    measurements: tuple[Measurement, ...]
    floor: tuple[Comparison, ...] = ()
    latencies: Mapping[str, Latency] = {}
    probing: Probing | None = None
    stability: Stability | None = None

    def scores(self) -> tuple[LayerScore, ...]:
        """Every layer's score, in the model's order."""
        if self.probing is None:
            scores = score_layers(self.layers, self.excluded, self.measurements)
        else:
            scores = _estimated_scores(self, self.probing)
        timed = ((score, self.latencies.get(score.layer.fqn)) for score in scores)
        return tuple(x.model_copy(update={"latency_s": latency}) for x, latency in timed)

    @property
    def deployment_floor(self) -> float | None:
        """Mean 1 - SSIM of the deployment dtype with nothing quantized."""
        losses = [sample.loss for sample in self.floor if sample.loss is not None]
        return float(np.mean(losses)) if losses else None

    @property
    def measurement_noise(self) -> float | None:
        """Median over the layers of the standard deviation of SSIM over prompts and seeds."""
        spreads = [s.ssim_std for s in self.scores() if s.ssim_std is not None and s.samples > 1]
        return float(np.median(spreads)) if spreads else None


def merge_measurements(batches: Iterable[Iterable[Measurement]]) -> tuple[Measurement, ...]:
    """All measurements of several batches, the first of each key; idempotent."""
    merged: dict[tuple[str, str, str, int], Measurement] = {}
    for batch in batches:
        for measurement in batch:
            merged.setdefault(measurement.key, measurement)
    return tuple(merged.values())


def score_layers(
    layers: Sequence[Layer], excluded: Mapping[str, str], measurements: Iterable[Measurement]
) -> tuple[LayerScore, ...]:
    """Every layer's score, in the order of ``layers``."""
    by_layer: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        by_layer.setdefault(measurement.layer, []).append(measurement)
    scores = [score_layer(x, excluded.get(x.fqn), by_layer.get(x.fqn, [])) for x in layers]
    return _ranked_by_images(scores, by_layer)


def _ranked_by_images(
    scores: Sequence[LayerScore], by_layer: Mapping[str, Sequence[Measurement]]
) -> tuple[LayerScore, ...]:
    known = [s.layer.fqn for s in scores if s.loss is not None]
    common = max((len(by_layer[fqn]) for fqn in known), default=0)
    losses = [
        np.array([m.loss for m in sorted(by_layer[fqn], key=lambda m: m.key)], dtype=np.float64)
        for fqn in known
        if len(by_layer[fqn]) == common
    ]
    # With one image nothing tells luck from sensitivity: no layer has a rank.
    if not losses or len(losses) < len(known) or common < 2:
        return tuple(scores)
    means = np.array([x.mean() for x in losses])
    ranks = rank_layers(means, paired_bootstrap(losses, _BOOTSTRAP_SAMPLES))
    return _with_ranks(scores, dict(zip(known, ranks, strict=True)))


def _with_ranks(scores: Iterable[LayerScore], ranks: Mapping[str, Rank]) -> tuple[LayerScore, ...]:
    def placed(score: LayerScore) -> LayerScore:
        rank = ranks.get(score.layer.fqn)
        if rank is None:
            return score
        found = {"rank": rank.place, "tied_from": rank.first, "tied": rank.tied}
        return score.model_copy(update=found)

    return tuple(placed(score) for score in scores)


def _estimated_scores(profile: Profile, probing: Probing) -> tuple[LayerScore, ...]:
    """Imaged layers by their images, the others by estimates, all of them ranked together."""
    by_layer: dict[str, list[Measurement]] = {}
    for measurement in profile.measurements:
        by_layer.setdefault(measurement.layer, []).append(measurement)
    found = estimate(probing, profile.measurements)
    places = {fqn: i for i, fqn in enumerate(found.layers)} if found else {}
    scores = [
        _estimated_score(x, profile.excluded.get(x.fqn), by_layer.get(x.fqn, []), probing, found)
        for x in profile.layers
    ]
    if found is None:
        return tuple(scores)
    ranks = rank_layers(found.losses, found.draws)
    return _with_ranks(scores, {fqn: ranks[i] for fqn, i in places.items()})


def _estimated_score(
    layer: Layer,
    exclusion: str | None,
    measurements: Sequence[Measurement],
    probing: Probing,
    found: Estimates | None,
) -> LayerScore:
    errors = probing.errors.get(layer.fqn)
    broken = errors is not None and None in errors
    if exclusion is not None or not all(m.finite for m in measurements):
        return score_layer(layer, exclusion, measurements)
    if broken:
        return LayerScore(layer=layer, status=LayerStatus.NOT_FINITE, samples=len(errors or ()))
    if found is None or layer.fqn not in found.layers:
        return LayerScore(layer=layer, status=LayerStatus.PENDING)
    place = found.layers.index(layer.fqn)
    if found.imaged[place] == found.samples:
        return score_layer(layer, None, measurements)
    low, high = np.percentile(found.draws[:, place], [_TAIL, 100 - _TAIL])
    return LayerScore(
        layer=layer,
        status=LayerStatus.MEASURED,
        samples=found.samples,
        imaged=found.imaged[place],
        estimated=True,
        ssim=1 - float(found.losses[place]),
        ssim_low=1 - float(high),
        ssim_high=1 - float(low),
        psnr_db=_mean([m.psnr_db for m in measurements]),
        latent_mse=float(score_by_sample(probing, layer.fqn).mean()),
    )


def score_layer(
    layer: Layer, exclusion: str | None, measurements: Sequence[Measurement]
) -> LayerScore:
    """One layer's score from its measurements."""
    if exclusion is not None:
        return LayerScore(layer=layer, status=LayerStatus.EXCLUDED, reason=exclusion)
    if not measurements:
        return LayerScore(layer=layer, status=LayerStatus.PENDING)
    if not all(m.finite for m in measurements):
        return LayerScore(layer=layer, status=LayerStatus.NOT_FINITE, samples=len(measurements))
    ssim = np.array([m.ssim for m in measurements], dtype=np.float64)
    low, high = bootstrap_interval(ssim)
    return LayerScore(
        layer=layer,
        status=LayerStatus.MEASURED,
        samples=len(measurements),
        imaged=len(measurements),
        ssim=float(ssim.mean()),
        ssim_low=low,
        ssim_high=high,
        ssim_std=float(ssim.std(ddof=1)) if len(ssim) > 1 else 0.0,
        psnr_db=_mean([m.psnr_db for m in measurements]),
        latent_mse=_mean([m.latent_mse for m in measurements]),
    )


def bootstrap_interval(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the mean (Efron 1979), with a fixed seed."""
    picks = np.random.default_rng(0).integers(0, len(samples), (_BOOTSTRAP_SAMPLES, len(samples)))
    low, high = np.percentile(samples[picks].mean(axis=1), [_TAIL, 100 - _TAIL])
    return float(low), float(high)


def ranked(scores: Iterable[LayerScore]) -> list[LayerScore]:
    """The measured layers, most sensitive first; equal SSIM keeps the model's order."""
    measured = [s for s in scores if s.ssim is not None]
    return sorted(measured, key=lambda s: s.ssim if s.ssim is not None else 0.0)


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
