"""What happens in a run, in order: the lines of ``events.jsonl``.

The engine yields these; the worker journals them; every screen is a fold over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from pixart_tui.domain.benchmarks.rows import BenchResult, BenchRow
from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.domain.generation import GenerationPlan, PipelineCall
from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.effects import SampleEffects
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.measurements import Comparison, Likeness, Measurement
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.profiles.profile_check import ProfileCheck
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import ImageSet, Trial, Verification
from pixart_tui.domain.values import Value


class AttemptStarted(Value):
    """A worker lives; it begins, or resumes, the work once it holds the device.

    Attributes:
        attempt: 1 for the first worker of the run, one more for each that resumes it.
    """

    type: Literal["attempt_started"] = "attempt_started"
    attempt: int


class StageChanged(Value):
    """The work enters a stage, or moves within it.

    Attributes:
        stage: ``waiting``, ``loading``, ``latency``, ``encoding``, ``baseline``, ``floor``,
            ``measuring``, ``benchmarking``, ``generating``, ``writing``.
        detail: What exactly, in words: a prompt, a layer, a file.
        done: Parts of the stage that are done.
        total: Parts of the stage, 0 where it has none.
    """

    type: Literal["stage"] = "stage"
    stage: str
    detail: str = ""
    done: int = 0
    total: int = 0


class ProfilePlanned(Value):
    """What will be measured; written once per attempt, equal in all of them.

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
        lanes: Layers, or samples, that are measured side by side.
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
    lanes: Annotated[int, Field(ge=1)] = 1

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
        """What is measured under a quant type: the layers, or the blocks' attention."""
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
        elapsed_s: Seconds that its lane spent on it.
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
    """Somebody's profile was compared with what was measured."""

    type: Literal["profile_checked"] = "profile_checked"
    source: str
    found: ProfileCheck


class BenchPlanned(Value):
    """The rows that will be measured."""

    type: Literal["bench_planned"] = "bench_planned"
    machine: Machine
    versions: Versions
    rows: tuple[BenchRow, ...]


class BenchRowUpdated(Value):
    """A row with what is known of it by now."""

    type: Literal["bench_row"] = "bench_row"
    row: BenchRow


class WarmupProgressed(Value):
    """What a row's process has compiled by now, while its first call runs.

    Attributes:
        label: The row.
        warmup: Its regions.
    """

    type: Literal["warmup"] = "warmup"
    label: str
    warmup: Warmup


class BenchFinished(Value):
    """Every row is done or failed."""

    type: Literal["bench_finished"] = "bench_finished"
    result: BenchResult


class VerifyPlanned(Value):
    """What a selection is verified on; written once per attempt, equal in all of them.

    Attributes:
        machine: Where it is measured.
        versions: With what.
        conditions: Those of each profile.
        fitting: What the profiles were measured on.
        repairing: What the selection is repaired on.
        reporting: What the verified figure is measured on.
        rounds: The most selections that are measured on the repair set.
        reports: Joint measurements on the reporting set.
    """

    type: Literal["verify_planned"] = "verify_planned"
    machine: Machine
    versions: Versions
    conditions: tuple[Conditions, ...]
    fitting: ImageSet
    repairing: ImageSet
    reporting: ImageSet
    rounds: int
    reports: int


class JointMeasured(Value):
    """A selection was measured as a whole."""

    type: Literal["joint_measured"] = "joint_measured"
    trial: Trial


class VerifyFinished(Value):
    """The selection is settled and verified."""

    type: Literal["verify_finished"] = "verify_finished"
    selection: Selection
    verification: Verification


class GeneratePlanned(Value):
    """What pipeline calls will be made; once per attempt."""

    type: Literal["generate_planned"] = "generate_planned"
    plan: GenerationPlan


class CallMade(Value):
    """A pipeline call has ended."""

    type: Literal["call_made"] = "call_made"
    call: PipelineCall


class Noticed(Value):
    """Something that the user did not ask for, or asked for and does not get as asked.

    Attributes:
        text: One sentence.
    """

    type: Literal["noticed"] = "noticed"
    text: str


class ComparePlanned(Value):
    """What will be compared; written once per attempt, equal in all of them.

    Attributes:
        machine: Where it is made.
        versions: With what.
        conditions: How the images are made, in the words of a profile.
        layers: The layers that are quantized together.
    """

    type: Literal["compare_planned"] = "compare_planned"
    machine: Machine
    versions: Versions
    conditions: Conditions
    layers: tuple[str, ...]


class ImagesCompared(Value):
    """An image and its undisturbed twin are made: a comparison's unit of resuming.

    Attributes:
        prompt: The prompt of both.
        seed: The seed of both.
        likeness: How far they are from each other as they are kept, with 8 bits a channel; None
            where the image holds NaN or infinity.
    """

    type: Literal["images_compared"] = "images_compared"
    prompt: str
    seed: int
    likeness: Likeness | None


class ArtifactWritten(Value):
    """A file stands complete.

    Attributes:
        role: ``profile``, ``sidecar``, ``effects``, ``bench``, ``selection``, ``export``,
            ``side_by_side``, or an image: ``baseline_image``, ``layer_image``, ``bench_image``,
            ``selection_image``, ``joint_image`` (every layer quantized), ``quantized_image``,
            ``image``, ``output_image``.
        path: Absolute, or relative to the run's directory.
        prompt: The prompt of an image.
        seed: The seed of an image.
        label: The layer or the bench row of an image.
        comparison: How far an image is from the baseline's of its prompt and seed, where no other
            event says so.
    """

    type: Literal["artifact"] = "artifact"
    role: str
    path: str
    prompt: str | None = None
    seed: int | None = None
    label: str | None = None
    comparison: Comparison | None = None


class Failure(Value):
    """An error as a user reads it."""

    title: str
    cause: str = ""
    next_step: str = ""
    exit_code: int = 1


class AttemptFinished(Value):
    """A worker ends of its own will."""

    type: Literal["attempt_finished"] = "attempt_finished"
    state: Literal["done", "failed", "cancelled"]
    failure: Failure | None = None


Event = Annotated[
    AttemptStarted
    | StageChanged
    | ProfilePlanned
    | LatencyMeasured
    | BatchChosen
    | FloorMeasured
    | LayerMeasured
    | PassPlanned
    | SampleMeasured
    | LookTaken
    | ProfileChecked
    | BenchPlanned
    | BenchRowUpdated
    | WarmupProgressed
    | BenchFinished
    | VerifyPlanned
    | JointMeasured
    | VerifyFinished
    | GeneratePlanned
    | CallMade
    | Noticed
    | ComparePlanned
    | ImagesCompared
    | ArtifactWritten
    | AttemptFinished,
    Field(discriminator="type"),
]
