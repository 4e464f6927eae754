"""Effects for tests: deterministic draws around given losses; nothing measured them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.effects import PackedArray, SampleEffects, TypeEffects

Floats = npt.NDArray[np.float64]


def sample_effects(
    prompt: str,
    losses: Mapping[str, Sequence[float | None]],
    *,
    seed: int = 0,
    draws: int = 8,
    calls: int = 20,
    in_range: bool = True,
    level: float = 1.0,
) -> SampleEffects:
    """A sample of the adjoint method.

    Args:
        prompt: Its prompt, which settles the draws.
        losses: Quant type to 1 - SSIM of each layer alone; None for a layer without figures.
        seed: Its seed.
        draws: Functionals of its image.
        calls: Transformer calls; the later ones matter more.
        in_range: Whether the effects add up as they do in the linear range.
        level: Times as much as the losses say: more for a prompt that diverges.
    """
    rng = np.random.default_rng([seed, zlib.crc32(prompt.encode())])
    level *= float(np.exp(rng.normal(0, 0.2)))
    return SampleEffects(
        prompt=prompt,
        seed=seed,
        first_calls=(0,) * draws,
        types={
            quant_type: _type_effects(level * _array(found), draws, calls, in_range, rng)
            for quant_type, found in losses.items()
        },
        elapsed_s=4.0,
    )


def _array(losses: Sequence[float | None]) -> Floats:
    return np.array([np.nan if loss is None else loss for loss in losses], dtype=np.float64)


def _type_effects(
    losses: Floats, draws: int, calls: int, in_range: bool, rng: np.random.Generator
) -> TypeEffects:
    spread = np.exp(rng.normal(0, 0.25, len(losses)))
    shares = np.exp(np.arange(calls) / calls * 2)
    shares /= shares.sum()
    scale = np.sqrt((losses * spread)[:, None] * shares)
    effects = (rng.normal(size=(draws, len(losses), calls)) * scale).astype(np.float32)
    predicted = np.nansum(effects.astype(np.float64), axis=(1, 2))
    rest = rng.normal(size=draws) * np.sqrt(np.square(predicted).mean())
    measured = 0.95 * predicted + 0.3 * rest if in_range else 0.29 * predicted
    return TypeEffects(
        effects=PackedArray.of(effects),
        joint_loss=float(np.square(measured).mean()),
        joint_functionals=tuple(measured.tolist()),
    )
