"""Effects for tests: deterministic draws around given losses; nothing measured them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from pixart_tui.domain.layers.quant_types import FP8_ATTENTION, coarsest, parse_quant_type
from pixart_tui.domain.profiles.effects import LinearCheck, PackedArray, SampleEffects

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
    effects = {
        quant_type: _effects(level * _array(found), draws, calls, rng)
        for quant_type, found in losses.items()
    }
    of_layers = [parse_quant_type(name) for name in losses if name != FP8_ATTENTION]
    checked = coarsest(of_layers).name
    return SampleEffects(
        prompt=prompt,
        seed=seed,
        first_calls=(0,) * draws,
        effects={name: PackedArray.of(found) for name, found in effects.items()},
        check=_check(checked, effects[checked], in_range, rng),
        elapsed_s=4.0,
    )


def _array(losses: Sequence[float | None]) -> Floats:
    return np.array([np.nan if loss is None else loss for loss in losses], dtype=np.float64)


def _effects(
    losses: Floats, draws: int, calls: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    spread = np.exp(rng.normal(0, 0.25, len(losses)))
    shares = np.exp(np.arange(calls) / calls * 2)
    shares /= shares.sum()
    scale = np.sqrt((losses * spread)[:, None] * shares)
    return (rng.normal(size=(draws, len(losses), calls)) * scale).astype(np.float32)


def _check(
    quant_type: str,
    effects: npt.NDArray[np.float32],
    in_range: bool,
    rng: np.random.Generator,
) -> LinearCheck:
    predicted = np.nansum(effects.astype(np.float64), axis=(1, 2))
    rest = rng.normal(size=len(effects)) * np.sqrt(np.square(predicted).mean())
    measured = 0.95 * predicted + 0.3 * rest if in_range else 0.29 * predicted
    return LinearCheck(
        quant_type=quant_type,
        loss=float(np.square(measured).mean()),
        functionals=tuple(measured.tolist()),
    )


def sample_of(
    effects: npt.ArrayLike,
    *,
    prompt: str = "robot",
    seed: int = 0,
    first_calls: Sequence[int] = (),
    functionals: Sequence[float] = (),
    quant_type: str = "fp8_e4m3_e4m3_dynamic",
) -> SampleEffects:
    """A sample with the very effects that are given, (draws, layers, calls).

    Args:
        effects: The effects.
        prompt: Its prompt.
        seed: Its seed.
        first_calls: Of each draw, the first call that it reached; all reached the first if empty.
        functionals: Of the image with everything quantized; empty where it is not finite.
        quant_type: The one quant type.
    """
    array = np.asarray(effects, dtype=np.float32)
    loss = float(np.square(functionals).mean()) if functionals else None
    return SampleEffects(
        prompt=prompt,
        seed=seed,
        first_calls=tuple(first_calls) or (0,) * len(array),
        effects={quant_type: PackedArray.of(array)},
        check=LinearCheck(quant_type=quant_type, loss=loss, functionals=tuple(functionals)),
        elapsed_s=1.0,
    )
