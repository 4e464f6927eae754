"""The part of each transformer call in what layers do to the image, as plain numbers and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics
    from pixart_tui.domain.profiles.profile import Profile
    from pixart_tui.domain.selecting.step_effects import StepEffects

LEVELS: Final = "▁▂▃▄▅▆▇█"
"""Heights of a character, the lowest first."""
_A_LINE: Final = 10


@dataclass(frozen=True, slots=True)
class StepShares:
    """The parts of the calls under one quant type; they sum to 1.

    Attributes:
        together: Of all layers, each of which counts by its loss.
        by_layer: Layer to its own; without layers that have no effects.
        call_name: What a call is told as: ``step``, or ``call`` where a step makes several.
    """

    together: tuple[float, ...]
    by_layer: Mapping[str, tuple[float, ...]]
    call_name: str = "step"

    @property
    def summary(self) -> str:
        """One line on all layers together."""
        most = max(self.together)
        number = self.together.index(most) + 1
        return (
            f"effect of all layers by {self.call_name}: {strip(self.together)}, "
            f"most at {self.call_name} {number} of {len(self.together)} ({most:.0%})"
        )

    @property
    def lines(self) -> Iterator[str]:
        """All layers together in percent, ten calls a line."""
        figures = percentages(self.together)
        for start in range(0, len(figures), _A_LINE):
            part = figures[start : start + _A_LINE]
            yield f"  from {self.call_name} {start + 1}, %: {'  '.join(part)}"

    def rows(self, layers: Sequence[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Names and percentages of all layers together and of some, as far as they have effects."""
        yield "all layers", percentages(self.together)
        for fqn in layers:
            if fqn in self.by_layer:
                yield fqn, percentages(self.by_layer[fqn])


def steps_of(profile: Profile, effects: EffectStatistics | StepEffects | None) -> StepShares | None:
    """The parts of the calls in a profile.

    Args:
        profile: The profile.
        effects: What its effects say, in the order of its layers; None where it has none.

    Returns:
        None where there are none, or nothing has an effect.
    """
    if effects is None or not effects.steps_together.sum() > 0:
        return None
    rows = zip(profile.layers, effects.steps.tolist(), strict=True)
    by_layer = {layer.fqn: tuple(row) for layer, row in rows if sum(row) > 0}  # NaN is not
    together = tuple(effects.steps_together.tolist())
    return StepShares(together, by_layer, profile.conditions.call_name)


def percentages(parts: Sequence[float]) -> tuple[str, ...]:
    """Each part in percent, whole from ten on."""
    return tuple(f"{100 * x:.0f}" if x >= 0.0995 else f"{100 * x:.1f}" for x in parts)


def strip(parts: Sequence[float]) -> str:
    """One character for each part, its height beside that of the largest."""
    most = max(parts, default=0.0)
    if not most > 0:
        return LEVELS[0] * len(parts)
    return "".join(LEVELS[round(7 * max(part, 0.0) / most)] for part in parts)
