"""The rows of a benchmark, and the file that keeps them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator

from pixart_tui.domain.benchmarks.warmup import Region, describe_finished
from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.layers.choice import spell_kept, spell_types
from pixart_tui.domain.layers.quant_types import ExecutionName
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.lora import Lora
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.values import Value
from pixart_tui.domain.words import count

FULL_SPEED: Final = 0.95
"""A warm-up ends with the first call that reaches this share of the row's iteration speed."""


class Statistic(Value):
    """Repeated measurements of one figure."""

    median: float
    min: float
    max: float
    n: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Statistic:
        """Summarizes at least one sample."""
        return cls(
            median=statistics.median(samples), min=min(samples), max=max(samples), n=len(samples)
        )


class Clocks(Value):
    """The GPU's clock, power and temperature during the timed calls, by NVML: medians over samples.

    Attributes:
        sm_mhz: Clock of the streaming multiprocessors.
        power_w: Power draw.
        temperature_c: Temperature of the GPU.
        samples: How often it was asked.
    """

    sm_mhz: float
    power_w: float
    temperature_c: float
    samples: int

    @classmethod
    def pooled(cls, found: Sequence[Clocks]) -> Clocks:
        """One value for at least one process's."""
        return cls(
            sm_mhz=statistics.median(x.sm_mhz for x in found),
            power_w=statistics.median(x.power_w for x in found),
            temperature_c=statistics.median(x.temperature_c for x in found),
            samples=sum(x.samples for x in found),
        )


class ColdCall(Value):
    """One of the first pipeline calls of a process that found empty caches.

    Attributes:
        elapsed_s: Prompt to image.
        iterations_per_s: Denoising steps per second after the first, None with fewer than two.
    """

    elapsed_s: float
    iterations_per_s: float | None


def warmup_s(calls: Sequence[ColdCall], iterations_per_s: float | None) -> float:
    """Seconds until a pipeline runs at full speed.

    The first call always counts: it compiles. Later ones count until one reaches ``FULL_SPEED``
    of the row's iteration speed, as a pipeline that captures graphs or tunes itself in its second
    call is not warm before. All count if none reaches it: the true figure is then larger.

    Args:
        calls: From the first on, at least one.
        iterations_per_s: The row's; None where it has none, so that only the first call counts.
    """
    elapsed_s = calls[0].elapsed_s
    for call in calls[1:]:
        speed = call.iterations_per_s
        if not iterations_per_s or not speed or speed >= FULL_SPEED * iterations_per_s:
            break
        elapsed_s += call.elapsed_s
    return elapsed_s


class RowStatus(StrEnum):
    """How far a row has come."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class BenchCase(Value):
    """One column of OneDiff's table: what is run.

    Attributes:
        deployment: How the pipeline is made to run.
        selection: How the quantized layers were chosen, in words; None where none are.
        name: A name of its own; empty for that of the deployment.
    """

    deployment: Deployment = Deployment()
    selection: str | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """A short name, unique in a benchmark."""
        return self.name or self.deployment.label


class RowCase(Value):
    """The conditions of a row: rows of the same case may stand for each other.

    Attributes:
        label: A short name, unique in a benchmark.
        model: The model.
        variant: Which of its weight files were asked for; empty for those without a name.
        lora: The LoRA that was merged into its transformer, None for none.
        model_fingerprint: Hash over its configurations and weights, and the LoRA.
        prompt: The prompt of the first call and of the image.
        prompts: How many prompts the timed calls take in turn, each call the next one.
        rounds: How many processes the timed calls are spread over, the rows taking turns.
        seed: Seed of the initial noise.
        guidance_scale: Classifier-free guidance.
        threads: CPU threads that torch uses.
        height: Pixels.
        width: Pixels.
        steps: Denoising steps.
        batch: Images per pipeline call.
        compiler: The compiler.
        compiler_config: The compiler's settings on this machine, as JSON text; empty for none.
        dtype: The compute dtype.
        quant_type: The quant type, ``mixed`` for several, None where nothing is quantized.
        execution: ``real``, or ``simulated``: quality without a speed.
        attention: The attention implementation.
        memory: What was done to need less GPU memory, in a few words; empty for nothing.
        selection: How the quantized layers were chosen.
        quantized_layers: How many layers are quantized.
        layers_by_type: Quant type to how many of them have it; empty where there is one type.
        kept_steps: Steps at which none of them is, but for those that follow.
        layers_at_kept_steps: How many are quantized at these steps too, not counting what depends
            on the text alone, which is computed once an image.
        peak_kind: ``cuda`` (allocated by torch) or ``process`` (resident set of the process).
        warmup_note: Why a figure of the warm-up will be missing; empty otherwise.
    """

    label: str
    model: str
    variant: str = ""
    lora: Lora | None = None
    model_fingerprint: str = ""
    prompt: str = ""
    prompts: int = 1
    rounds: int = 1
    seed: int = 0
    guidance_scale: float | None = None
    threads: int | None = None
    height: int
    width: int
    steps: int
    batch: int = 1
    compiler: str
    compiler_config: str = ""
    dtype: str
    quant_type: str | None = None
    execution: ExecutionName = "real"
    attention: str = "sdpa"
    memory: str = ""
    selection: str | None = None
    quantized_layers: int = 0
    layers_by_type: Mapping[str, int] = {}
    kept_steps: KeptSteps = NO_STEPS
    layers_at_kept_steps: int = 0
    peak_kind: Literal["cuda", "process"]
    warmup_note: str = ""

    @property
    def is_compiled(self) -> bool:
        """Whether a compiler works on the pipeline."""
        return self.compiler != "none"

    @property
    def is_simulated(self) -> bool:
        """Whether the row has an image and no speed."""
        return self.execution == "simulated"

    @property
    def layers_words(self) -> str:
        """How many layers are quantized, and of which type where there are several."""
        types = spell_types(self.layers_by_type)
        return f"{types} layers" if types else count(self.quantized_layers, "layer")

    @property
    def kept_note(self) -> str:
        """Describes the kept steps; empty without any."""
        if not self.kept_steps:
            return ""
        return spell_kept(self.kept_steps, self.steps, self.layers_at_kept_steps)


class Figures(Value):
    """The measurements of a row. A figure that was not measured is None.

    Attributes:
        iterations_per_s: Denoising steps per second between step-end events, as OneDiff's script
            counts them.
        transformer_s: Seconds of the transformer alone in one step; a call's is the median of its
            steps. Between CUDA events on a GPU, so that gaps between kernels count.
        e2e_s: Seconds of a whole pipeline call, prompt to image.
        peak_bytes: Largest memory over the timed calls.
        peak_reserved_bytes: Largest memory that torch's allocator held then, the pools of CUDA
            graphs and what the warm-up left included; None without a GPU.
        chosen_memory: The options that a memory budget chose; empty where there was none.
        memory_estimate_bytes: The peak that they were chosen by, to be compared with the measured
            one.
        clocks: The GPU's state during the timed calls; None where NVML does not tell.
        warmup_run_s: First pipeline call without a compiler, loading not included.
        warmup_compile_s: Seconds to full speed with empty caches, see :func:`warmup_s`.
        cold_calls: The calls that it was taken from.
        warmup_compile_regions: The regions that its first call compiled.
        warmup_cache_s: First pipeline call of a fresh process with the caches that are left.
        warmup_cache_regions: The regions that this call compiled or found.
        cache_hits: Compiled graphs that this fresh process found in the caches.
        cache_misses: Graphs that it had to compile all the same.
        ssim: SSIM to the eager image, both with 8 bits a channel as they are saved.
        psnr_db: PSNR to the eager image in dB; None where the images are equal or unknown.
        images_equal: Whether every pixel equals the eager image; None where unknown.
    """

    iterations_per_s: Statistic | None = None
    transformer_s: Statistic | None = None
    e2e_s: Statistic | None = None
    peak_bytes: int | None = None
    peak_reserved_bytes: int | None = None
    chosen_memory: str = ""
    memory_estimate_bytes: int | None = None
    clocks: Clocks | None = None
    warmup_run_s: float | None = None
    warmup_compile_s: float | None = None
    cold_calls: tuple[ColdCall, ...] = ()
    warmup_compile_regions: tuple[Region, ...] = ()
    warmup_cache_s: float | None = None
    warmup_cache_regions: tuple[Region, ...] = ()
    cache_hits: int | None = None
    cache_misses: int | None = None
    ssim: float | None = None
    psnr_db: float | None = None
    images_equal: bool | None = None


class BenchRow(Value):
    """One case and its figures: nested in code, one flat object in JSON.

    Attributes:
        case: The conditions.
        status: How far it has come.
        error: Why it failed; empty otherwise.
        execution_note: Which kernel ran, or why it was simulated.
        figures: The measurements.
    """

    case: RowCase
    status: RowStatus = RowStatus.PENDING
    error: str = ""
    execution_note: str = ""
    figures: Figures = Figures()

    @property
    def label(self) -> str:
        """The short name of the case."""
        return self.case.label

    @model_validator(mode="before")
    @classmethod
    def _nest(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "case" in data:
            return data
        parts: dict[str, Any] = {"case": {}, "figures": {}}
        for name, value in data.items():
            if name in RowCase.model_fields:
                parts["case"][name] = value
            elif name in Figures.model_fields:
                parts["figures"][name] = value
            else:
                parts[name] = value
        return parts

    @model_serializer(mode="wrap")
    def _flatten(self, nested: SerializerFunctionWrapHandler) -> dict[str, Any]:
        parts = nested(self)
        case, figures = parts.pop("case"), parts.pop("figures", {})
        return {"label": case.pop("label"), **parts, **case, **figures}


def describe_warmups(row: BenchRow) -> list[str]:
    """Describes what a row's first calls compiled or found, a line a region and kind of start."""
    found = row.figures
    starts = (("cold", found.warmup_compile_regions), ("cached", found.warmup_cache_regions))
    return [f"{start}: {made}" for start, regions in starts for made in describe_finished(regions)]


class BenchResult(Value):
    """The content of a benchmark's JSON file.

    Attributes:
        schema_version: Of this format.
        machine: Where it was measured.
        versions: With what.
        date: When, in UTC.
        command: The command line.
        matrix: The name of the matrix that the rows are of; empty for none.
        rows: What was measured.
    """

    schema_version: int = 1
    machine: Machine
    versions: Versions
    date: str
    command: str
    matrix: str = ""
    rows: tuple[BenchRow, ...]
