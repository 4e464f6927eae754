"""Folds the events of a run that compares images."""

from __future__ import annotations

from dataclasses import dataclass, field

from pixart_tui.domain.events import ComparePlanned, Event, ImagesCompared


@dataclass
class Comparison:
    """The pairs of images that are compared.

    Attributes:
        plan: The images to make, None until they are known.
        pairs: Prompt and seed to what was compared, in order.
    """

    plan: ComparePlanned | None = None
    pairs: dict[tuple[str, int], ImagesCompared] = field(default_factory=dict)

    def take(self, event: Event, _t: float) -> None:
        """Takes in the next event."""
        match event:
            case ComparePlanned():
                self.plan = event
            case ImagesCompared():
                self.pairs[event.prompt, event.seed] = event

    @property
    def total(self) -> int:
        """Pairs in all."""
        if self.plan is None:
            return 0
        conditions = self.plan.conditions
        return len(conditions.prompts) * len(conditions.seeds)

    @property
    def done(self) -> int:
        """Pairs that are compared."""
        return len(self.pairs)
