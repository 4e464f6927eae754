"""Prompts whose trajectories diverge: a small error of any layer becomes another image there."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from typing import Final

from pixart_tui.domain.profiles.measurements import Comparison

_FEWEST_PROMPTS: Final = 4
_TIMES_THE_MEDIAN: Final = 2.5
"""Measured: 3.8 for a prompt that diverges (``wide-h100-16x2`` in
``benchmarks/results/method/profiles``), 1.6 at most over 16 prompts where none does
(``h100-16x2`` there)."""


def diverging_prompts(floor: Iterable[Comparison]) -> tuple[str, ...]:
    """Prompts on which rounding to the deployment dtype alone does far more than on others.

    Such a prompt outweighs the rest in a layer's mean, and what it adds is partly luck.

    Args:
        floor: Images of the deployment dtype with nothing quantized.

    Returns:
        The worst first; none where fewer than four prompts were measured.
    """
    by_prompt: dict[str, list[float]] = {}
    for sample in floor:
        if sample.loss is not None:
            by_prompt.setdefault(sample.prompt, []).append(sample.loss)
    return outliers({prompt: statistics.fmean(x) for prompt, x in by_prompt.items()})


def outliers(losses: Mapping[str, float]) -> tuple[str, ...]:
    """The prompts whose loss is far above the median one's, the worst first."""
    if len(losses) < _FEWEST_PROMPTS:
        return ()
    limit = _TIMES_THE_MEDIAN * statistics.median(losses.values())
    return tuple(sorted((p for p in losses if losses[p] > limit), key=lambda p: -losses[p]))
