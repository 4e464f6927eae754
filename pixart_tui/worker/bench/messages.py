"""The request of a worker to a benchmark's child process, and the child's answers, a line each.

Without torch, so that the worker holds no memory that a measurement could see.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError

from pixart_tui.domain.benchmarks.rows import BenchCase, Figures
from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.domain.events import Failure
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import ExecutionName
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.domain.values import Value, with_halves


class Purpose(StrEnum):
    """The purpose of a child process."""

    DESCRIBE = "describe"
    """Say what would be measured, and end."""

    RUN = "run"
    """First call without a compiler, timed calls, image."""

    COMPILE = "compile"
    """The first calls with empty caches, and end."""

    CACHE = "cache"
    """First call with the caches that another process left, timed calls, image."""

    WARM = "warm"
    """Timed calls and image, with whatever compile cache is kept; no figure of the warm-up, unless
    everything came from the cache."""

    QUALITY = "quality"
    """One image, simulated."""


class CaseSpec(Value):
    """The content of ``SPEC.json``.

    Attributes:
        purpose: What this process is for.
        request: What the run was asked.
        case: What is run, with the layers that are quantized.
        quant_types: Quant types to try on this device; none where nothing is planned.
        messages: Absolute path of the file that the answers are appended to.
        image: Absolute path of the PNG to write, None for no image.
        reference: Absolute path of the eager image's PNG, None for the eager image itself.
        estimates: Region to the seconds that it took before; empty if it never ran.
        parent_pid: The worker; the child dies with it.
    """

    purpose: Purpose
    request: BenchRequest
    case: BenchCase
    quant_types: tuple[str, ...]
    messages: str
    image: str | None
    reference: str | None
    estimates: dict[str, float] = {}
    parent_pid: int


class ExecutionFound(Value):
    """The execution of a quant type on this machine.

    Attributes:
        execution: ``real`` or ``simulated``.
        note: Which kernel runs, or why it is simulated.
    """

    execution: ExecutionName
    note: str


class Described(Value):
    """The described case; the first answer of every child that could load the model.

    Attributes:
        machine: Where.
        versions: With what.
        model_fingerprint: Hash over the model's configurations and weights.
        prompt: The prompt of the first call and of the image.
        prompts: How many prompts the calls take in turn.
        notices: What there is to say of how the model reads them.
        guidance_scale: Classifier-free guidance.
        steps: Denoising steps.
        height: Pixels.
        width: Pixels.
        dtype: The compute dtype.
        compiler_configs: Compiler to what it does here, as JSON text.
        layers: The model's layers; empty where nothing is quantized.
        executions: What each of the asked quant types does on this machine.
    """

    type: Literal["described"] = "described"
    machine: Machine
    versions: Versions
    model_fingerprint: str
    prompt: str
    prompts: int
    notices: tuple[str, ...] = ()
    guidance_scale: float
    steps: int
    height: int
    width: int
    dtype: str
    compiler_configs: dict[str, str]
    layers: tuple[Layer, ...] = ()
    executions: dict[str, ExecutionFound] = {}


class PhaseEntered(Value):
    """The child's current phase.

    Attributes:
        phase: In words.
        done: Calls that are done.
        total: Calls in all, 0 where it has none.
    """

    type: Literal["phase"] = "phase"
    phase: str
    done: int = 0
    total: int = 0


class FiguresFound(Value):
    """Figures that one process knows; those that are unset are another's.

    Attributes:
        figures: The row's, timed calls left out: those come one by one.
    """

    type: Literal["figures"] = "figures"
    figures: Figures


class WarmupSeen(Value):
    """Everything that is compiled so far."""

    type: Literal["warmup"] = "warmup"
    warmup: Warmup


class PaceTold(Value):
    """How fast the steps go at this moment: no figure of the row, only something to watch.

    Attributes:
        iterations_per_s: Over the steps since the last such message.
    """

    type: Literal["pace"] = "pace"
    iterations_per_s: float


class CallTimed(Value):
    """One timed call.

    Attributes:
        iterations_per_s: Between step-end events, None with fewer than two steps.
        transformer_s: The transformer alone, median over the steps.
        e2e_s: Prompt to image.
    """

    type: Literal["call"] = "call"
    iterations_per_s: float | None
    transformer_s: float | None
    e2e_s: float


class ImageWritten(Value):
    """The image stands complete.

    Attributes:
        path: Absolute.
    """

    type: Literal["image"] = "image"
    path: str


class CaseFailed(Value):
    """The last answer of a child that could not do it."""

    type: Literal["failed"] = "failed"
    failure: Failure


Message = Annotated[
    Described
    | PhaseEntered
    | PaceTold
    | WarmupSeen
    | CallTimed
    | FiguresFound
    | ImageWritten
    | CaseFailed,
    Field(discriminator="type"),
]
_MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Message)


def parse_message(line: bytes) -> Message:
    """A message that a child wrote with ``model_dump_json``; paths in it may hold any bytes.

    Raises:
        ValidationError: It is no message.
    """
    try:
        return _MESSAGE.validate_json(line)
    except ValidationError:
        if (content := with_halves(line)) is None:
            raise
        return _MESSAGE.validate_python(content)
