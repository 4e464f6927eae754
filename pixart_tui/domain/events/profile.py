"""Events of a profile run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.measurements import Comparison, Measurement
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.profiles.profile_check import ProfileCheck
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.values import Value, read_old_names


class ProfilePlanned(Value):
    """The plan of a profile; written once per attempt, equal in all of them.

    Attributes:
        machine: Where it is measured.
        versions: With what.
        conditions: What the measurements hold for.
        layers: Every linear layer in the model's order.
        excluded: Layers that the real kernels cannot quantize, with the reason.
        more_types: Further quant types that are measured in the same pass, and the layers that
            are excluded for each.
        attention: The self-attention of every block where fp8 attention is measured too; empty
            where it is not.
        attention_excluded: Blocks' attention that the kernel cannot take, with the reason.
        replicas: Layers, or samples, that are measured side by side.
    """

    type: Literal["profile_planned"] = "profile_planned"
    machine: Machine
    versions: Versions
    conditions: Conditions
    layers: tuple[Layer, ...]
    excluded: Mapping[str, str]
    more_types: Mapping[str, Mapping[str, str]] = {}
    attention: tuple[Layer, ...] = ()
    attention_excluded: Mapping[str, str] = {}
    replicas: Annotated[int, Field(ge=1)] = 1

    _old = model_validator(mode="before")(read_old_names({"lanes": "replicas"}))

    @property
    def layers_excluded(self) -> dict[str, Mapping[str, str]]:
        """Quant type of layers to those that are excluded for it, the first type first."""
        return {self.conditions.quant_type: self.excluded, **self.more_types}

    @property
    def excluded_by_type(self) -> dict[str, Mapping[str, str]]:
        """The same, and behind it what is excluded for fp8 attention where that is measured."""
        if not self.attention:
            return self.layers_excluded
        return {**self.layers_excluded, FP8_ATTENTION: self.attention_excluded}

    def targets(self, quant_type: str) -> tuple[Layer, ...]:
        """Returns the targets under a quant type: the layers, or the blocks' attention."""
        return self.attention if quant_type == FP8_ATTENTION else self.layers


class LatencyMeasured(Value):
    """How long each layer takes on this device; once per run, before any error is measured.

    Attributes:
        quant_type: The quant type of the quantized times.
        latencies: Layer to latency; empty where the quant type is simulated on this device.
        reason: Why it is empty; empty otherwise.
    """

    type: Literal["latency_measured"] = "latency_measured"
    quant_type: str
    latencies: Mapping[str, Latency]
    reason: str = ""


class BatchChosen(Value):
    """How many images are made at once from here on.

    Attributes:
        images: Images in a batch.
        reason: Why it is another number than before; empty at the start of an attempt.
    """

    type: Literal["batch_chosen"] = "batch_chosen"
    images: Annotated[int, Field(ge=1)]
    reason: str = ""


class FloorMeasured(Value):
    """The deployment dtype with nothing quantized, against the baseline."""

    type: Literal["floor_measured"] = "floor_measured"
    dtype: str
    comparisons: tuple[Comparison, ...]


class LayerMeasured(Value):
    """One layer's measurements: the unit of resuming.

    Attributes:
        layer: The layer.
        measurements: One for each prompt and seed.
        elapsed_s: Seconds that its replica spent on it.
    """

    type: Literal["layer_measured"] = "layer_measured"
    layer: str
    measurements: tuple[Measurement, ...]
    elapsed_s: float


class PassPlanned(Value):
    """How the adjoint method uses the memory from here on.

    Attributes:
        samples: Samples that go forward and back together.
        draws: Draws of each that go back together.
        keeps_hidden_states: Whether what the blocks got is kept from the way forward, or computed
            again on the way back.
        keeps_weights: Whether quantized weights are kept, or made again for each call.
        decoder_at_once: Whether the decoder's graph is in memory as a whole, or part by part.
        keeps_graphs: Whether the graphs of all calls are kept from the way forward.
        reason: Why it is another way than before; empty at the start of an attempt.
    """

    type: Literal["pass_planned"] = "pass_planned"
    samples: Annotated[int, Field(ge=1)]
    draws: Annotated[int, Field(ge=1)]
    keeps_hidden_states: bool
    keeps_weights: bool
    decoder_at_once: bool
    keeps_graphs: bool = False
    reason: str = ""


class SampleMeasured(Value):
    """One sample's effects: the adjoint method's unit of resuming."""

    type: Literal["sample_measured"] = "sample_measured"
    sample: SampleEffects


class LookTaken(Value):
    """A decision of the adjoint method: go on, or stop and why."""

    type: Literal["look_taken"] = "look_taken"
    look: Look


class ProfileChecked(Value):
    """A third party's profile was compared with the measurement."""

    type: Literal["profile_checked"] = "profile_checked"
    source: str
    found: ProfileCheck
