"""From measurements to scores: means, intervals, ranks and ties."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.profiles.intervals import TAIL
from pixart_tui.domain.profiles.measurements import Measurement
from pixart_tui.domain.profiles.ranking import Rank, paired_bootstrap, rank_layers, same_over_draws
from pixart_tui.domain.profiles.score import LayerScore, LayerStatus

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics

_BOOTSTRAP_SAMPLES: Final = 1000


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
    draws = paired_bootstrap(losses, _BOOTSTRAP_SAMPLES)
    ranks = rank_layers(means, lambda a, b: same_over_draws(draws[:, a], draws[:, b]))
    return _with_ranks(scores, dict(zip(known, ranks, strict=True)))


def _with_ranks(scores: Iterable[LayerScore], ranks: Mapping[str, Rank]) -> tuple[LayerScore, ...]:
    def placed(score: LayerScore) -> LayerScore:
        rank = ranks.get(score.layer.fqn)
        if rank is None:
            return score
        found = {"rank": rank.place, "tied_from": rank.first, "tied": rank.tied}
        return score.replace(**found)

    return tuple(placed(score) for score in scores)


def score_effects(
    layers: tuple[Layer, ...], excluded: Mapping[str, str], found: EffectStatistics
) -> tuple[LayerScore, ...]:
    """Scores of the adjoint method: all layers from the same backward passes."""
    these = found.of_these_images()
    intervals = np.stack([*these, *(found.of_other_prompts() or these)])
    scores = [
        _score_of_effects(layer, excluded.get(layer.fqn), found, at, intervals[:, at])
        for at, layer in enumerate(layers)
    ]
    known = np.flatnonzero([score.loss is not None for score in scores])
    ranks = rank_layers(
        found.losses[known],
        lambda one, other: not found.told_apart(known[one], known[[other]])[0],
    )
    return _with_ranks(scores, {layers[at].fqn: r for at, r in zip(known, ranks, strict=True)})


def _score_of_effects(
    layer: Layer,
    exclusion: str | None,
    found: EffectStatistics,
    at: int,
    intervals: npt.NDArray[np.float64],
) -> LayerScore:
    """One layer's score: the ends of its loss for these images, then for other prompts."""
    samples = len(found.samples)
    if exclusion is not None:
        return score_layer(layer, exclusion, ())
    if not np.isfinite(found.losses[at]):
        return LayerScore(layer=layer, status=LayerStatus.NOT_FINITE, samples=samples)
    ends = (1 - intervals).tolist()
    return LayerScore(
        layer=layer,
        status=LayerStatus.MEASURED,
        samples=samples,
        ssim=1 - float(found.losses[at]),
        ssim_low=ends[3],
        ssim_high=ends[2],
        these_low=ends[1],
        these_high=ends[0],
        degrees=float(found.degrees[at]),
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
    low, high = np.percentile(samples[picks].mean(axis=1), [100 * TAIL, 100 * (1 - TAIL)])
    return float(low), float(high)


def mean(values: Sequence[float | None]) -> float | None:
    """The mean of what is known, None where nothing is."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
