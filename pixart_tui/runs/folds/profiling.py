"""Folds the events of a profile: layers or samples, their pace, the profile as far as it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from statistics import median
from typing import Final

from pixart_tui.domain.events import (
    AttemptFinished,
    AttemptStarted,
    BatchChosen,
    Event,
    FloorMeasured,
    LatencyMeasured,
    LayerMeasured,
    LookTaken,
    PassPlanned,
    ProfileChecked,
    ProfilePlanned,
    SampleMeasured,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.profile import Profile, merge_measurements

_RECENT: Final = 9
"""The latest layers, or samples, of each replica whose times make the pace."""


@dataclass
class Profiling:
    """The measurements of a profile.

    Attributes:
        planned: The layers to measure, None until they are known.
        latencies: Quant type to how long each layer takes, once it is measured.
        batch: How many images are made at once, None until it is known.
        batch_sizes: Every such number, in the order of use.
        measured: Layer to its measurements of whole images, in the order of measuring.
        samples: Prompt and seed to the effects that the adjoint method measured.
        pass_plan: How that method uses the memory at present, None until it is known.
        look: Its last decision.
        floor: The bf16 floor.
        checked: How a third party's profile compares with this one.
        measuring_s: Seconds of the stage that measures layers, over all attempts.
    """

    planned: ProfilePlanned | None = None
    latencies: dict[str, LatencyMeasured] = field(default_factory=dict)
    batch: BatchChosen | None = None
    batch_sizes: dict[int, None] = field(default_factory=dict)
    measured: dict[str, LayerMeasured] = field(default_factory=dict)
    samples: dict[tuple[str, int], SampleEffects] = field(default_factory=dict)
    pass_plan: PassPlanned | None = None
    look: Look | None = None
    floor: FloorMeasured | None = None
    checked: ProfileChecked | None = None
    measuring_s: float = 0.0
    _measured_keys: set[tuple[str, str, str, int]] = field(default_factory=set)
    _in_attempt: int = 0
    _first_s: list[float] = field(default_factory=list)
    _later_s: list[float] = field(default_factory=list)
    _measuring_since_s: float | None = None
    _is_measuring: bool = False

    def take(self, event: Event, t: float) -> None:  # noqa: C901 - a line an event
        """Takes in the next event."""
        self._clock(event, t)
        match event:
            case AttemptStarted():
                self._in_attempt, self._is_measuring = 0, False
            case StageChanged():
                self._is_measuring = event.stage == Stage.MEASURING
            case AttemptFinished():
                self._is_measuring = False
            case ProfilePlanned():
                self.planned = event
            case LatencyMeasured():
                self.latencies[event.quant_type] = event
            case BatchChosen():
                self._choose_batch(event)
            case LayerMeasured():
                self._take_layer(event)
            case SampleMeasured():
                self._take_sample(event.sample)
            case PassPlanned():
                reason = event.reason or (self.pass_plan.reason if self.pass_plan else "")
                self.pass_plan = event.replace(reason=reason)
            case LookTaken():
                self.look = event.look
            case FloorMeasured():
                self.floor = event
            case ProfileChecked():
                self.checked = event

    def _choose_batch(self, event: BatchChosen) -> None:
        # A later attempt starts without a reason, and the one that is known still holds.
        reason = event.reason or (self.batch.reason if self.batch else "")
        self.batch = event.replace(reason=reason)
        self.batch_sizes[event.images] = None

    def _take_layer(self, event: LayerMeasured) -> None:
        new = tuple(one for one in event.measurements if one.key not in self._measured_keys)
        known = self.measured.get(event.layer)
        if known is None:
            self.measured[event.layer] = event
        elif new:
            merged = known.measurements + new
            self.measured[event.layer] = event.replace(measurements=merged)
        self._measured_keys.update(one.key for one in new)
        self._time(event.elapsed_s)

    def _take_sample(self, sample: SampleEffects) -> None:
        self.samples.setdefault((sample.prompt, sample.seed), sample)
        self._time(sample.elapsed_s)

    def _time(self, elapsed_s: float) -> None:
        self._in_attempt += 1
        # The first layer or sample of each replica also warms up libraries and caches.
        warming_up = self._in_attempt <= self._replicas
        (self._first_s if warming_up else self._later_s).append(elapsed_s)

    def _clock(self, event: Event, t: float) -> None:
        """Adds up the time of the stage that measures, up to what it measured last."""
        since_s = self._measuring_since_s
        if isinstance(event, AttemptStarted):
            self._measuring_since_s = None
        elif isinstance(event, StageChanged):
            begun_s = t if since_s is None else since_s
            self._measuring_since_s = begun_s if event.stage == Stage.MEASURING else None
        elif isinstance(event, LayerMeasured | SampleMeasured) and since_s is not None:
            self.measuring_s += t - since_s
            self._measuring_since_s = t

    @property
    def _adjoint(self) -> bool:
        return self.planned is not None and self.planned.conditions.method == "adjoint"

    @property
    def _planned_samples(self) -> int:
        return self.planned.conditions.samples if self.planned is not None else 0

    @property
    def samples_in_order(self) -> tuple[SampleEffects, ...]:
        """The samples that are measured and count, every prompt before a second seed."""
        if self.planned is None:
            return ()
        conditions = self.planned.conditions
        order = [(prompt, seed) for seed in conditions.seeds for prompt in conditions.prompts]
        found = tuple(self.samples[key] for key in order if key in self.samples)
        # A batch may have gone beyond the decision; what it decided on does not depend on that.
        settled = self.look is not None and self.look.outcome == "settled"
        return found[: self.look.samples] if settled and self.look is not None else found

    @property
    def total(self) -> int:
        """Layers, or samples in the adjoint method; 0 while unknown."""
        if self.planned is None:
            return 0
        if self._adjoint:
            ended = self.look is not None and self.look.outcome
            return len(self.samples) if ended else self._planned_samples
        return len(self.planned.layers) - len(self.planned.excluded)

    @property
    def done(self) -> int:
        """How many of them are measured."""
        return len(self.samples) if self._adjoint else len(self.measured)

    @property
    def known_figures(self) -> tuple[int, int, bool]:
        """Changes when a layer's score may: samples, layers, and whether there is a floor."""
        return (len(self.samples), len(self.measured), self.floor is not None)

    @property
    def eta_s(self) -> float | None:
        """Seconds until everything is measured; None if unknown, or while nothing is measured."""
        pace_s = self._pace_s
        if not self._is_measuring or pace_s is None:
            return None
        return ceil((self.total - self.done) / self._replicas) * pace_s

    @property
    def images_per_s(self) -> float | None:
        """Quantized images that all replicas make in a second; None while that is not known."""
        if not self._pace_s or self._adjoint:
            return None
        return self._planned_samples * self._replicas / self._pace_s

    @property
    def _replicas(self) -> int:
        return self.planned.replicas if self.planned else 1

    @property
    def _pace_s(self) -> float | None:
        """Seconds that a replica takes for a layer or sample: the median of the recent ones.

        Those of an earlier attempt count: it had the same model, settings and device.
        """
        known = self._later_s or self._first_s
        return median(known[-_RECENT * self._replicas :]) if known else None

    @property
    def quant_types(self) -> tuple[str, ...]:
        """The quant types that are measured, the first one first."""
        return tuple(self.planned.excluded_by_type) if self.planned is not None else ()

    @property
    def profile(self) -> Profile | None:
        """The profile of the first quant type, as far as it is measured."""
        return self.profile_of(self.quant_types[0]) if self.planned is not None else None

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """One for each quant type, as far as they are measured."""
        found = (self.profile_of(quant_type) for quant_type in self.quant_types)
        return tuple(profile for profile in found if profile is not None)

    def profile_of(self, quant_type: str) -> Profile | None:
        """The profile of a quant type, as far as it is measured; None if it is not planned."""
        if self.planned is None or quant_type not in self.planned.excluded_by_type:
            return None
        latency = self.latencies.get(quant_type)
        # Not in the order of measuring, which differs where replicas work side by side.
        order = {layer.fqn: number for number, layer in enumerate(self.planned.layers)}
        measured = sorted(self.measured.values(), key=lambda one: order.get(one.layer, len(order)))
        return Profile(
            conditions=self.planned.conditions.replace(quant_type=quant_type),
            layers=self.planned.targets(quant_type),
            excluded=self.planned.excluded_by_type[quant_type],
            measurements=merge_measurements(one.measurements for one in measured),
            floor=self.floor.comparisons if self.floor else (),
            latencies=latency.latencies if latency else {},
            effects=self.samples_in_order,
        )
