"""What happens in a run, in order: the lines of ``events.jsonl``.

The engine yields these; the worker journals them; every screen is a fold over them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from pixart_tui.domain.benchmark import BenchResult, BenchRow
from pixart_tui.domain.generation import GenerationPlan, PipelineCall
from pixart_tui.domain.latency import Latency
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.measurements import Comparison, Measurement
from pixart_tui.domain.probing import ProbeRow, Stability
from pixart_tui.domain.profile import Conditions
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.selecting.verification import ImageSet, Trial, Verification
from pixart_tui.domain.selection import Selection
from pixart_tui.domain.values import Value
from pixart_tui.domain.warmup import Warmup


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
        lanes: Layers that are measured side by side.
    """

    type: Literal["profile_planned"] = "profile_planned"
    machine: Machine
    versions: Versions
    conditions: Conditions
    layers: tuple[Layer, ...]
    excluded: Mapping[str, str]
    lanes: Annotated[int, Field(ge=1)] = 1


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
        measurements: One for each prompt and seed, with the fast method for each that was needed;
            there may then be several such events for a layer.
        elapsed_s: Seconds that its lane spent on it.
    """

    type: Literal["layer_measured"] = "layer_measured"
    layer: str
    measurements: tuple[Measurement, ...]
    elapsed_s: float


class ProbesPrepared(Value):
    """What every layer will be probed on, and what an error there is worth; once per run.

    Attributes:
        rows: The calls.
        anchor: The step that has the largest part in the final latents' change.
        gains: Of each denoising step; see ``Probing``.
        null: Of each row; see ``Probing``.
        forwards: Transformer calls that finding this out took, in calls for one image.
        elapsed_s: Seconds that it took.
    """

    type: Literal["probes_prepared"] = "probes_prepared"
    rows: tuple[ProbeRow, ...]
    anchor: int
    gains: tuple[float, ...]
    null: tuple[float, ...]
    forwards: float
    elapsed_s: float


class LayerProbed(Value):
    """One layer's teacher-forced errors: the fast method's unit of resuming.

    Attributes:
        layer: The layer.
        errors: Of each row, the mean squared error of the guided noise prediction; None where it
            is not finite.
        forwards: Transformer calls that this took, in calls for one image.
        elapsed_s: Seconds that its lane spent on it.
    """

    type: Literal["layer_probed"] = "layer_probed"
    layer: str
    errors: tuple[float | None, ...]
    forwards: float
    elapsed_s: float


class ImagesPlanned(Value):
    """Which whole images the fast method makes next; kept, so that a resumed run makes the same.

    Attributes:
        purpose: ``calibrating`` turns scores into image loss; ``confirming`` settles layers whose
            interval crosses the cut.
        round: From 0.
        tasks: Layer to the indices of its samples, seed by seed and prompt by prompt.
    """

    type: Literal["images_planned"] = "images_planned"
    purpose: Literal["calibrating", "confirming"]
    round: int
    tasks: Mapping[str, tuple[int, ...]]


class StabilityChecked(Value):
    """Whether trajectories fork under the run's guidance; once per run."""

    type: Literal["stability_checked"] = "stability_checked"
    stability: Stability


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
        step_choices: How many choices of steps are measured first, 0 for none.
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
    step_choices: int
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


class ArtifactWritten(Value):
    """A file stands complete.

    Attributes:
        role: ``profile``, ``sidecar``, ``bench``, ``selection``, ``baseline_image``,
            ``bench_image``, ``image``, ``output_image``.
        path: Absolute, or relative to the run's directory.
        prompt: The prompt of an image.
        seed: The seed of an image.
        label: The layer or the bench row of an image.
    """

    type: Literal["artifact"] = "artifact"
    role: str
    path: str
    prompt: str | None = None
    seed: int | None = None
    label: str | None = None


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
    | ProbesPrepared
    | LayerProbed
    | ImagesPlanned
    | StabilityChecked
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
    | ArtifactWritten
    | AttemptFinished,
    Field(discriminator="type"),
]
