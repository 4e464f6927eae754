"""Measuring one case in this process: the first call, the timed calls, the image."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pixart_tui.engine.bench.call import BenchCall
from pixart_tui.engine.bench.memory import peak_bytes, reset_peak
from pixart_tui.engine.bench.timing import synchronize, timer_for
from pixart_tui.engine.image_metrics import psnr_db_per_image, ssim_per_image

# diffusers ships no types; the name says what is meant.
Pipeline: TypeAlias = Any
Pixels: TypeAlias = npt.NDArray[np.uint8]
Task = Literal["warm-up", "figures", "quality"]
"""The first call alone; the first call, the timed ones and the image; or the image alone."""

FIRST_CALL: Final = "first call"
TIMED_CALLS: Final = "timed calls"


@dataclass(frozen=True, slots=True)
class Phase:
    """What is being done.

    Attributes:
        name: ``FIRST_CALL`` or ``TIMED_CALLS``.
        done: Calls that are done.
        total: Calls in all.
    """

    name: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class FirstCall:
    """The first pipeline call of the process.

    Attributes:
        elapsed_s: Prompt to image, loading not included.
    """

    elapsed_s: float


@dataclass(frozen=True, slots=True)
class TimedCall:
    """One pipeline call after the first.

    Attributes:
        e2e_s: Seconds from prompt to image.
        iterations_per_s: Denoising steps per second, None with fewer than two steps.
    """

    e2e_s: float
    iterations_per_s: float | None


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest memory over the timed calls.

    Attributes:
        size_bytes: Of torch's allocator on CUDA, else of the process.
    """

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Picture:
    """The image of the last call.

    Attributes:
        pixels: (height, width, 3), None where it held NaN or infinity.
    """

    pixels: Pixels | None


@dataclass(frozen=True, slots=True)
class Likeness:
    """An image beside the eager one, both as they are saved: 8 bits a channel.

    Attributes:
        ssim: Structural similarity.
        psnr_db: In dB, None for equal images.
        equal: Whether every pixel is the same.
    """

    ssim: float
    psnr_db: float | None
    equal: bool


Figure: TypeAlias = Phase | FirstCall | TimedCall | Peak | Picture


def measure(
    pipeline: Pipeline, call: BenchCall, task: Task, *, repeats: int, device: torch.device
) -> Iterator[Figure]:
    """Calls a pipeline that has not been called in this process, and yields what is found.

    A task of quality alone yields no times.

    Args:
        pipeline: Compiled and quantized as the case wants it.
        call: What is called, again and again.
        task: How much is measured.
        repeats: Timed calls after the first.
        device: Where the pipeline is.
    """
    yield Phase(FIRST_CALL, 0, 1)
    first, image = _timed_call(pipeline, call, device)
    if task != "quality":
        yield FirstCall(first.e2e_s)
    if task == "figures":
        reset_peak(device)
        for index in range(repeats):
            yield Phase(TIMED_CALLS, index, repeats)
            timed, image = _timed_call(pipeline, call, device)
            yield timed
        yield Peak(peak_bytes(device))
    if task != "warm-up":
        yield Picture(_to_pixels(image) if np.isfinite(image).all() else None)


def likeness(pixels: Pixels, reference: Pixels) -> Likeness:
    """Compares two images of the same size."""
    images, twins = _to_tensor(pixels), _to_tensor(reference)
    return Likeness(
        ssim=ssim_per_image(images, twins)[0],
        psnr_db=psnr_db_per_image(images, twins)[0],
        equal=bool(np.array_equal(pixels, reference)),
    )


def _timed_call(
    pipeline: Pipeline, call: BenchCall, device: torch.device
) -> tuple[TimedCall, npt.NDArray[np.float32]]:
    timer = timer_for(device)
    synchronize(device)
    started = time.perf_counter()
    # Arrays, so that NaN can be seen; turning them into a PIL image is part of the call's time.
    images = pipeline(**call.arguments(), output_type="np", callback=timer, callback_steps=1).images
    pipeline.image_processor.numpy_to_pil(images)
    synchronize(device)
    elapsed_s = time.perf_counter() - started
    return TimedCall(elapsed_s, timer.iterations_per_s()), images[0]


def _to_pixels(image: npt.NDArray[np.float32]) -> Pixels:
    return (image * 255).round().astype(np.uint8)


def _to_tensor(pixels: Pixels) -> Tensor:
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].double() / 255
