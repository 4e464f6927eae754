"""When a profile has measured enough: decisions after fixed numbers of samples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Literal

from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.values import Value

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics

_FIRST: Final = 4
_ERROR: Final = 0.05
"""Probability of a wrong decision about a pair of layers, over all looks."""

Outcome = Literal["", "settled", "spent", "time"]


class Look(Value):
    """The state of a profile after a fixed number of samples.

    Attributes:
        samples: How many.
        undecided: Quant type to the layers that cannot be told from one across the cut.
        with_twice: The same number if there were twice as many samples like these.
        outcome: Why measuring ended: ``settled``, ``spent`` (every sample that was asked for is
            measured), ``time``; empty where it went on.
    """

    samples: int
    undecided: Mapping[str, int]
    with_twice: Mapping[str, int]
    outcome: Outcome

    @property
    def settled(self) -> bool:
        """Whether no layer is undecided."""
        return not any(self.undecided.values())


def look_sizes(samples: int) -> tuple[int, ...]:
    """After how many samples a decision falls: 4, 8, 16 ... and at the end."""

    def sizes() -> Iterator[int]:
        size = _FIRST
        while size < samples:
            yield size
            size *= 2
        yield samples

    return tuple(sizes())


def look_at(
    samples: Sequence[SampleEffects],
    quant_types: Sequence[str],
    cut: float,
    planned: int,
    *,
    until_settled: bool,
    out_of_time: bool = False,
) -> Look:
    """The decision over these samples.

    Args:
        samples: Those measured so far, at least one, in the planned order.
        quant_types: Each has a cut of its own.
        cut: Percentage of the layers, by count, that would be quantized.
        planned: Samples at the most.
        until_settled: Whether a settled cut ends the measuring.
        out_of_time: Whether the time is spent.
    """
    # Only now: a viewer reads looks long before it needs numpy.
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics

    confidence = 1 - _ERROR / len(look_sizes(planned))
    found = {x: EffectStatistics.of(samples, x) for x in quant_types}
    undecided = {x: len(undecided_layers(s, cut, confidence)) for x, s in found.items()}
    twice = {x: len(undecided_layers(s, cut, confidence, 2.0)) for x, s in found.items()}
    outcome: Outcome = "time" if out_of_time else ""
    if len(samples) >= planned:
        outcome = "spent"
    elif until_settled and not any(undecided.values()):
        outcome = "settled"
    return Look(samples=len(samples), undecided=undecided, with_twice=twice, outcome=outcome)


def undecided_layers(
    found: EffectStatistics, cut: float, confidence: float, more: float = 1.0
) -> set[int]:
    """Layers that cannot be told from some layer on the other side of the cut."""
    import numpy as np

    finite = np.flatnonzero(np.isfinite(found.losses))
    order = finite[np.argsort(found.losses[finite], kind="stable")]
    chosen = int(len(order) * cut / 100)
    inside, outside = order[:chosen], order[chosen:]
    undecided: set[int] = set()
    for layer in outside.tolist():
        same = inside[~found.told_apart(layer, inside, confidence, more)]
        if len(same):
            undecided |= {layer, *same.tolist()}
    return undecided
