"""Made-up effects of single calls."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from pixart_tui.domain.selecting.step_effects import EffectsByType, StepEffects

FP8 = "fp8_e4m3_e4m3_dynamic"


def step_effects(
    sizes: Sequence[Sequence[float]],
    *,
    draws: int = 4000,
    samples: int = 2,
    first: int = 0,
    whole: int = 2,
    coherent: bool = False,
    quant_type: str = FP8,
) -> StepEffects:
    """Effects that are normal, with these standard deviations.

    Args:
        sizes: Of each target, its effects' at each call.
        draws: Of each sample.
        samples: Each of a prompt of its own, the second twice as large as the first and so on.
        first: The call behind which all draws but a few end.
        whole: Draws that go through all calls.
        coherent: Whether a draw's effects have the same sign at all calls.
        quant_type: The quant type.
    """
    generator = np.random.default_rng(0)
    deviations = np.array(sizes)
    shape = (samples, draws, *deviations.shape)
    chance = generator.standard_normal((*shape[:3], 1) if coherent else shape)
    effects = chance * deviations * np.sqrt(np.arange(1, samples + 1))[:, None, None, None]
    firsts = np.full((samples, draws), float(first))
    firsts[:, :whole] = 0
    effects[:, whole:, :, :first] = 0
    return StepEffects(
        quant_type=quant_type,
        targets=tuple(f"transformer_blocks.{i}.ff.net.2" for i in range(len(sizes))),
        effects=effects,
        first_calls=firsts,
        saturations=(math.inf,) * samples,
        prompts=tuple(f"prompt {i}" for i in range(samples)),
    )


def by_type(*known: StepEffects) -> EffectsByType:
    """These effects by their quant type."""
    return EffectsByType({x.quant_type: x for x in known})
