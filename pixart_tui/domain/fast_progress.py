"""What is known of a profile of the fast method: a fold over its events."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

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


@dataclass(slots=True)
class FastProgress:
    """What is known by now; a resumed run starts from it.

    Attributes:
        probing: The probes; None before they are prepared.
        stability: Whether trajectories fork; None before it was checked.
        images: The images that were planned last.
    """

    probing: Probing | None = None
    stability: Stability | None = None
    images: ImagesPlanned | None = None
    _measured: dict[tuple[str, str, str, int], Measurement] = field(default_factory=dict)

    @property
    def measurements(self) -> tuple[Measurement, ...]:
        """Of whole images, the first of each key."""
        return tuple(self._measured.values())

    def copy(self) -> FastProgress:
        """The same, which grows on its own from here."""
        return replace(self, _measured=dict(self._measured))

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
                for measurement in event.measurements:
                    self._measured.setdefault(measurement.key, measurement)

    def missing(self, samples: Sequence[tuple[str, int]]) -> dict[str, tuple[int, ...]]:
        """Layer to sample indices of the images that were planned and are not made.

        Args:
            samples: Prompt and seed of every sample.
        """
        made = {(m.layer, m.prompt, m.seed) for m in self._measured.values()}
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
