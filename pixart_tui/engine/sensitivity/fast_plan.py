"""How the fast method spends what it may: rows to probe, images to calibrate with and confirm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from pixart_tui.domain.estimation import Estimates, kind_of
from pixart_tui.domain.probing import ProbeRow
from pixart_tui.engine.sensitivity.rendering import Sample

_CALIBRATION_PART: Final = 0.35
_FEWEST_ROWS: Final = 4
_FEWEST_OTHER_STEPS: Final = 2
_MOST_OTHER_STEPS: Final = 8
_GOLDEN: Final = (5**0.5 - 1) / 2
_BATCHES: Final = 8
_DOUBT: Final = 0.025
"""Probability of lying on the other side of the cut from which on a layer is undecided."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What the fast method may cost, in transformer calls for one image.

    Attributes:
        total: Everything, the undisturbed images too.
        samples: Prompts and seeds.
        steps: Of one image.
        row: What probing every layer on one row takes.
        calibrated: Layers that are imaged to calibrate.
    """

    total: float
    samples: int
    steps: int
    row: float
    calibrated: int

    @property
    def _left(self) -> float:
        return max(self.total - self.samples * self.steps, 0.0)

    @property
    def images_per_layer(self) -> int:
        """Samples that each calibrating layer is imaged on."""
        affordable = _CALIBRATION_PART * self._left / (self.calibrated * self.steps)
        return max(1, min(int(affordable), -(-self.samples // _BATCHES)))

    @property
    def rows(self) -> tuple[int, int]:
        """Samples that are probed at the anchor step, and rows at other steps."""
        images = self.calibrated * self.images_per_layer * self.steps
        affordable = int((self._left - images) / self.row)
        others = min(max(affordable // 4, _FEWEST_OTHER_STEPS), _MOST_OTHER_STEPS, self.samples)
        fewest = min(_FEWEST_ROWS, self.samples)
        return min(max(affordable - others, fewest), self.samples), others


def choose_rows(
    samples: Sequence[Sample], steps: int, anchor: int, counts: tuple[int, int]
) -> tuple[ProbeRow, ...]:
    """Every probed sample at the anchor step, and other steps spread over the samples.

    Args:
        samples: All samples; those that are probed are spread over them.
        steps: Denoising steps.
        anchor: The step with the largest part.
        counts: Samples at the anchor, and rows at other steps.
    """
    probed = [samples[i * len(samples) // counts[0]] for i in range(counts[0])]
    others = [step for step in range(steps) if step != anchor]
    count = min(counts[1], len(others))
    spread = [others[(2 * i + 1) * len(others) // (2 * count)] for i in range(count)]
    # The golden ratio keeps neighbouring steps on different samples.
    order = sorted(range(count), key=lambda i: (i * _GOLDEN) % 1)
    at_others = [(probed[i % len(probed)], spread[place]) for i, place in enumerate(order)]
    pairs = [*((sample, anchor) for sample in probed), *at_others]
    return tuple(ProbeRow(prompt=s.prompt, seed=s.seed, step=step) for s, step in pairs)


def calibrating(
    scores: dict[str, float], probed: Sequence[int], images: int
) -> dict[str, tuple[int, ...]]:
    """Which layers are imaged on which samples to calibrate: one of each kind.

    Layers outside the blocks are a kind each; of the others one is taken from a place in the order
    of the scores that differs from kind to kind.

    Args:
        scores: Layer to score.
        probed: Indices of the samples that were probed.
        images: Samples for each layer.
    """
    kinds: dict[str, list[str]] = {}
    for fqn in sorted(scores, key=scores.__getitem__):
        kinds.setdefault(kind_of(fqn), []).append(fqn)
    chosen = [
        kinds[kind][round((n * _GOLDEN % 1) * (len(kinds[kind]) - 1))]
        for n, kind in enumerate(sorted(kinds))
    ]
    return {
        fqn: tuple(sorted({probed[(n * images + i) % len(probed)] for i in range(images)}))
        for n, fqn in enumerate(chosen)
    }


def undecided(found: Estimates, kept: int) -> list[str]:
    """Layers that are not imaged on all samples and may lie on the other side of the cut.

    The likeliest to do so first.

    Args:
        found: What is known of all layers.
        kept: How many of the most sensitive layers the cut leaves out.
    """
    if not 0 < kept < len(found.layers):
        return []
    order = np.sort(found.losses)[::-1]
    cut = float(np.sqrt(order[kept - 1] * order[kept]))
    above = (found.draws > cut).mean(axis=0)
    doubt = np.minimum(above, 1 - above)
    open_ = [
        (float(-doubt[i]), fqn)
        for i, fqn in enumerate(found.layers)
        if found.imaged[i] < found.samples and doubt[i] > _DOUBT
    ]
    return [fqn for _, fqn in sorted(open_)]
