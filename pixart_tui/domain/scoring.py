"""From measurements to scores: means, intervals, ranks and ties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.estimation import Estimates, estimate
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.measurements import Measurement
from pixart_tui.domain.probing import Probing
from pixart_tui.domain.profile import LayerScore, LayerStatus, Profile
from pixart_tui.domain.ranking import Rank, paired_bootstrap, rank_layers

_BOOTSTRAP_SAMPLES: Final = 1000
_TAIL: Final = 2.5
"""Percent beyond each end of a 95% interval."""


def scores_of(profile: Profile) -> tuple[LayerScore, ...]:
    """Every layer's score, in the model's order, without its time."""
    if profile.probing is None:
        return score_layers(profile.layers, profile.excluded, profile.measurements)
    return _estimated_scores(profile, profile.probing)


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
    low, high = found.intervals[:, place]
    return LayerScore(
        layer=layer,
        status=LayerStatus.MEASURED,
        samples=found.samples,
        imaged=found.imaged[place],
        estimated=True,
        ssim=1 - float(found.losses[place]),
        ssim_low=1 - float(high),
        ssim_high=1 - float(low),
        psnr_db=mean([m.psnr_db for m in measurements]),
        latent_mse=float(found.latent_mses[place]),
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
        psnr_db=mean([m.psnr_db for m in measurements]),
        latent_mse=mean([m.latent_mse for m in measurements]),
    )


def bootstrap_interval(samples: npt.NDArray[np.float64]) -> tuple[float, float]:
    """The 95% percentile bootstrap interval of the mean (Efron 1979), with a fixed seed."""
    return _interval(tuple(samples))


@lru_cache(maxsize=4096)
def _interval(values: tuple[float, ...]) -> tuple[float, float]:
    """Kept, because a viewer scores all layers again whenever one was measured."""
    samples = np.array(values)
    picks = np.random.default_rng(0).integers(0, len(samples), (_BOOTSTRAP_SAMPLES, len(samples)))
    low, high = np.percentile(samples[picks].mean(axis=1), [_TAIL, 100 - _TAIL])
    return float(low), float(high)


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
