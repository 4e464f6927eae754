"""What is known of a profile of the fast method: a fold over its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pixart_tui.domain.events import (
    Event,
    ImagesPlanned,
    LayerMeasured,
    LayerProbed,
    ProbesPrepared,
    StabilityChecked,
)
from pixart_tui.domain.measurements import Measurement
from pixart_tui.domain.probing import Probing, Stability
from pixart_tui.domain.profile import merge_measurements


@dataclass(slots=True)
class FastProgress:
    """What is known by now; a resumed run starts from it.

    Attributes:
        probing: The probes; None before they are prepared.
        stability: Whether trajectories fork; None before it was checked.
        measurements: Of whole images.
        images: The images that were planned last.
    """

    probing: Probing | None = None
    stability: Stability | None = None
    measurements: tuple[Measurement, ...] = ()
    images: ImagesPlanned | None = None

    def take(self, event: Event) -> None:
        """Takes in what became known."""
        match event:
            case ProbesPrepared():
                self.probing = self.probing or _prepared(event)
            case LayerProbed():
                assert self.probing is not None
                self.probing = _with_layer(self.probing, event)
            case StabilityChecked():
                self.stability = event.stability
            case ImagesPlanned():
                self.images = event
            case LayerMeasured():
                self.measurements = merge_measurements((self.measurements, event.measurements))

    def missing(self, samples: Sequence[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
        """Layer to sample indices of the images that were planned and are not made.

        Args:
            samples: Prompt and seed of every sample.
        """
        made = {(m.layer, m.prompt, m.seed) for m in self.measurements}
        tasks: Mapping[str, tuple[int, ...]] = self.images.tasks if self.images else {}
        left = {
            fqn: tuple(i for i in picked if (fqn, *samples[i]) not in made)
            for fqn, picked in tasks.items()
        }
        return {fqn: wanted for fqn, wanted in left.items() if wanted}


def _prepared(event: ProbesPrepared) -> Probing:
    return Probing(
        rows=event.rows,
        anchor=event.anchor,
        gains=event.gains,
        null=event.null,
        forwards=event.forwards,
    )


def _with_layer(probing: Probing, event: LayerProbed) -> Probing:
    if event.layer in probing.errors:
        return probing
    errors = dict(probing.errors) | {event.layer: event.errors}
    forwards = probing.forwards + event.forwards
    return probing.model_copy(update={"errors": errors, "forwards": forwards})
