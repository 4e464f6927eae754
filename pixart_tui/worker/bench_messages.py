"""What the worker asks a benchmark's child process, and the lines that it answers with.

Without torch, so that the worker holds no memory that a measurement could see.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from pixart_tui.domain.benchmark import BenchCase, Statistic
from pixart_tui.domain.events import Failure
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.domain.values import Value


class Purpose(StrEnum):
    """What one child process is for."""

    DESCRIBE = "describe"
    """Say what would be measured, and end."""

    RUN = "run"
    """First call without a compiler, timed calls, image."""

    COMPILE = "compile"
    """First call with empty caches, and end."""

    CACHE = "cache"
    """First call with the caches that another process left, timed calls, image."""

    QUALITY = "quality"
    """One image, simulated."""


class CaseSpec(Value):
    """The content of ``SPEC.json``.

    Attributes:
        purpose: What this process is for.
        request: What the run was asked.
        case: What is run, with the layers that are quantized.
        wanted_layers: Layers that the request's file chose; None for all.
        messages: Absolute path of the file that the answers are appended to.
        image: Absolute path of the PNG to write.
        reference: Absolute path of the eager image's PNG, None for the eager image itself.
        parent_pid: The worker; the child dies with it.
    """

    purpose: Purpose
    request: BenchRequest
    case: BenchCase
    wanted_layers: tuple[str, ...] | None
    messages: str
    image: str
    reference: str | None
    parent_pid: int


class QuantizationFound(Value):
    """What a quantized row does on this machine.

    Attributes:
        layers: The layers that are quantized.
        execution: ``real`` or ``simulated``.
        note: Which kernel runs, or why it is simulated.
    """

    layers: tuple[str, ...]
    execution: Literal["real", "simulated"]
    note: str


class Described(Value):
    """What will be measured; the first answer of every child that could load the model.

    Attributes:
        machine: Where.
        versions: With what.
        model_fingerprint: Hash over the model's configurations and weights.
        prompt: The prompt.
        guidance_scale: Classifier-free guidance.
        steps: Denoising steps.
        height: Pixels.
        width: Pixels.
        dtype: The compute dtype.
        compiler_configs: Compiler to what it is given, as JSON text.
        quantization: None where nothing is quantized.
    """

    type: Literal["described"] = "described"
    machine: Machine
    versions: Versions
    model_fingerprint: str
    prompt: str
    guidance_scale: float
    steps: int
    height: int
    width: int
    dtype: str
    compiler_configs: dict[str, str]
    quantization: QuantizationFound | None


class PhaseEntered(Value):
    """What the child does now.

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
    """Fields of a ``BenchRow``; only those that are set are known."""

    type: Literal["figures"] = "figures"
    iterations_per_s: Statistic | None = None
    e2e_s: Statistic | None = None
    peak_bytes: int | None = None
    warmup_run_s: float | None = None
    warmup_compile_s: float | None = None
    warmup_cache_s: float | None = None
    cache_hits: int | None = None
    cache_misses: int | None = None
    ssim: float | None = None
    psnr_db: float | None = None
    images_equal: bool | None = None

    def known(self) -> dict[str, object]:
        """The fields that are set."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"type"}}


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
    Described | PhaseEntered | FiguresFound | ImageWritten | CaseFailed,
    Field(discriminator="type"),
]
MESSAGE: Final[TypeAdapter[Message]] = TypeAdapter(Message)
