"""What a benchmark measures: the rows of the seed's table, and the file that keeps them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

from pixart_tui.domain.deployment import Deployment
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.domain.values import Value


class Statistic(Value):
    """Repeated measurements of one figure."""

    median: float
    min: float
    max: float
    n: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Statistic:
        """Summarises at least one sample."""
        return cls(
            median=statistics.median(samples), min=min(samples), max=max(samples), n=len(samples)
        )


class RowStatus(StrEnum):
    """How far a row has come."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class BenchCase(Value):
    """One column of the seed's table: what is run.

    Attributes:
        deployment: How the pipeline is made to run.
        selection: How the quantized layers were chosen, in words; None where none are.
        name: What tells it from a case with the same deployment's label; empty for nothing.
    """

    deployment: Deployment = Deployment()
    selection: str | None = None
    name: str = ""

    @property
    def label(self) -> str:
        """A short name, unique in a benchmark."""
        return f"{self.deployment.label}+{self.name}" if self.name else self.deployment.label


class BenchRow(Value):
    """One measured case. A figure that was not measured is None.

    Attributes:
        label: The case's short name.
        status: How far it has come.
        error: Why it failed; empty otherwise.
        model: The model.
        model_fingerprint: Hash over its configurations and weights.
        prompt: The prompt.
        seed: Seed of the initial noise.
        guidance_scale: Classifier-free guidance.
        threads: CPU threads that torch uses.
        height: Pixels.
        width: Pixels.
        steps: Denoising steps.
        batch: Images per pipeline call.
        compiler: The compiler.
        compiler_config: What the compiler was given, as JSON text; empty for its defaults.
        dtype: The compute dtype.
        quant_type: The quant type, None where nothing is quantized.
        execution: ``real``, or ``simulated``: quality without a speed.
        execution_note: Which kernel ran, or why it was simulated.
        attention: The attention implementation.
        selection: How the quantized layers were chosen.
        quantized_layers: How many layers are quantized.
        iterations_per_s: Denoising steps per second between step-end events, as the seed does.
        e2e_s: Seconds of a whole pipeline call, prompt to image.
        peak_bytes: Largest memory over the timed calls.
        peak_kind: ``cuda`` (allocated by torch) or ``process`` (resident set of the process).
        warmup_run_s: First pipeline call without a compiler, loading not included.
        warmup_compile_s: First pipeline call with empty caches.
        warmup_cache_s: First pipeline call of a fresh process with the caches that are left.
        cache_hits: Compiled graphs that this fresh process found in the caches.
        cache_misses: Graphs that it had to compile all the same.
        ssim: SSIM to the eager image, both with 8 bits a channel as they are saved.
        psnr_db: PSNR to the eager image in dB; None where the images are equal or unknown.
        images_equal: Whether every pixel equals the eager image; None where unknown.
    """

    label: str
    status: RowStatus = RowStatus.PENDING
    error: str = ""
    model: str
    model_fingerprint: str = ""
    prompt: str = ""
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
    execution: Literal["real", "simulated"] = "real"
    execution_note: str = ""
    attention: str = "sdpa"
    selection: str | None = None
    quantized_layers: int = 0
    iterations_per_s: Statistic | None = None
    e2e_s: Statistic | None = None
    peak_bytes: int | None = None
    peak_kind: Literal["cuda", "process"]
    warmup_run_s: float | None = None
    warmup_compile_s: float | None = None
    warmup_cache_s: float | None = None
    cache_hits: int | None = None
    cache_misses: int | None = None
    ssim: float | None = None
    psnr_db: float | None = None
    images_equal: bool | None = None


class BenchResult(Value):
    """The content of a benchmark's JSON file."""

    schema_version: int = 1
    machine: Machine
    versions: Versions
    date: str
    command: str
    rows: tuple[BenchRow, ...]
