"""Measuring one case in this process: the first call, the timed calls, the image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from pixart_tui.domain.benchmarks.rows import Clocks
from pixart_tui.engine.bench.call import BenchCall
from pixart_tui.engine.bench.clocks import ClockSampler
from pixart_tui.engine.bench.memory import peak_bytes, peak_reserved_bytes, reset_peak
from pixart_tui.engine.bench.pace import StepPace
from pixart_tui.engine.bench.timing import synchronize, timed_transformer, timer_for
from pixart_tui.engine.typing import Pipeline

Pixels: TypeAlias = npt.NDArray[np.uint8]
Task = Literal["warm-up", "figures", "speed", "quality"]
"""The measured calls: the first calls of a cold start; the first call, the timed ones and the
image; the same without the image; or the image alone."""

FIRST_CALL: Final = "first call"
NEXT_CALLS: Final = "calls after the first"
TIMED_CALLS: Final = "timed calls"

COLD_CALLS: Final = 2
"""Calls after the first one of a cold start, to see whether full speed is reached by then."""


@dataclass(frozen=True, slots=True)
class Phase:
    """The current phase.

    Attributes:
        name: ``FIRST_CALL``, ``NEXT_CALLS`` or ``TIMED_CALLS``.
        done: Calls that are done.
        total: Calls in all.
    """

    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One pipeline call.

    Attributes:
        e2e_s: Seconds from prompt to image.
        iterations_per_s: Denoising steps per second, None with fewer than two steps.
        transformer_s: Seconds of the transformer alone, median over the steps.
    """

    e2e_s: float
    iterations_per_s: float | None
    transformer_s: float | None


@dataclass(frozen=True, slots=True)
class FirstCall:
    """The first pipeline call of the process, loading not included."""

    call: TimedCall


@dataclass(frozen=True, slots=True)
class NextCall:
    """A call that follows it in a cold start."""

    call: TimedCall


@dataclass(frozen=True, slots=True)
class Load:
    """The machine's load during the timed calls.

    Attributes:
        peak_bytes: Largest memory: of torch's allocator on CUDA, else of the process.
        reserved_bytes: Most that torch's allocator held, None on a CPU.
        clocks: What the GPU did, None where that is not known.
    """

    peak_bytes: int
    reserved_bytes: int | None
    clocks: Clocks | None


@dataclass(frozen=True, slots=True)
class Picture:
    """The image of the call's own prompt.

    Attributes:
        pixels: (height, width, 3), None where it held NaN or infinity.
    """

    pixels: Pixels | None


Figure: TypeAlias = Phase | FirstCall | NextCall | TimedCall | Load | Picture


def measure(
    pipeline: Pipeline,
    call: BenchCall,
    task: Task,
    *,
    prompts: Sequence[str],
    repeats: int,
    device: torch.device,
    pace: StepPace | None = None,
) -> Iterator[Figure]:
    """Calls a pipeline that has not been called in this process, and yields what is found.

    Every call after the first has another prompt, so that its time includes the text encoding of
    a prompt that is new. A task of quality alone yields no times.

    Args:
        pipeline: Compiled and quantized as the case wants it.
        call: The first call, and that of the image.
        task: How much is measured.
        prompts: What the other calls take in turn, from the second on.
        repeats: Timed calls after the first.
        device: Where the pipeline is.
        pace: Called at every step; None for no calls.
    """
    yield Phase(FIRST_CALL, 0, 1)
    first, image = _timed_call(pipeline, call, device, pace)
    if task != "quality":
        yield FirstCall(first)
    if task == "warm-up":
        yield from _next_calls(pipeline, _others(call, prompts, COLD_CALLS), device, pace)
    if task in ("figures", "speed"):
        yield from _timed_calls(pipeline, _others(call, prompts, repeats), device, pace)
    if task == "figures":
        _, image = _timed_call(pipeline, call, device, pace)
    if task in ("figures", "quality"):
        yield Picture(_to_pixels(image) if np.isfinite(image).all() else None)


def _others(call: BenchCall, prompts: Sequence[str], count: int) -> list[BenchCall]:
    return [call.asking(prompts[index % len(prompts)]) for index in range(1, count + 1)]


def _next_calls(
    pipeline: Pipeline, calls: Sequence[BenchCall], device: torch.device, pace: StepPace | None
) -> Iterator[Figure]:
    for index, call in enumerate(calls):
        yield Phase(NEXT_CALLS, index, len(calls))
        yield NextCall(_timed_call(pipeline, call, device, pace)[0])


def _timed_calls(
    pipeline: Pipeline, calls: Sequence[BenchCall], device: torch.device, pace: StepPace | None
) -> Iterator[Figure]:
    reset_peak(device)
    with ClockSampler(device) as sampler:
        for index, call in enumerate(calls):
            yield Phase(TIMED_CALLS, index, len(calls))
            yield _timed_call(pipeline, call, device, pace)[0]
    yield Load(peak_bytes(device), peak_reserved_bytes(device), sampler.clocks())


def _timed_call(
    pipeline: Pipeline, call: BenchCall, device: torch.device, pace: StepPace | None
) -> tuple[TimedCall, npt.NDArray[np.float32]]:
    timer = timer_for(device, pace)
    synchronize(device)
    started = time.perf_counter()
    # Arrays, so that NaN can be seen; turning them into a PIL image is part of the call's time.
    with timed_transformer(pipeline, device) as transformer:
        asked = call.arguments() | {"output_type": "np", "callback": timer, "callback_steps": 1}
        images = pipeline(**asked).images
    pipeline.image_processor.numpy_to_pil(images)
    synchronize(device)
    elapsed_s = time.perf_counter() - started
    timer.finish()
    found = TimedCall(elapsed_s, timer.iterations_per_s(), transformer.median_s())
    return found, images[0]


def _to_pixels(image: npt.NDArray[np.float32]) -> Pixels:
    return (image * 255).round().astype(np.uint8)
