from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest
import torch

from pixart_tui.domain.errors import WorkError
from pixart_tui.engine.generation.call import GenerateCall
from pixart_tui.engine.generation.fitting import (
    BatchMemory,
    estimate_batch,
    free_bytes,
    out_of_memory_explained,
    refuse_too_large,
)
from pixart_tui.engine.loading import load_pipeline

_CPU = torch.device("cpu")
_OPTIONS = {"guidance_scale": 4.5, "max_sequence_length": 16, "use_resolution_binning": False}
_GIB = 2**30


def _call(batch: int, side: int = 64) -> GenerateCall:
    return GenerateCall("owl", "", side, side, batch, 0, 2, _OPTIONS)


@pytest.fixture
def limited() -> Iterator[int]:
    """An address space that ends 4 GiB after what this process has."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    limit = psutil.Process().memory_info().vms + 4 * _GIB
    resource.setrlimit(resource.RLIMIT_AS, (limit, before[1]))
    yield limit
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_the_limit_of_the_process_counts(limited: int) -> None:
    assert 3 * _GIB < free_bytes(_CPU) <= 4 * _GIB


def test_without_a_limit_it_is_the_machines_memory() -> None:
    assert 0 < free_bytes(_CPU) <= psutil.virtual_memory().total


def test_four_times_the_pixels_take_four_times_the_memory() -> None:
    pipeline = load_pipeline("synthetic:sigma-tiny", dtype=torch.float32, device=_CPU).pipeline
    small = estimate_batch(pipeline, _call(1), (64, 64), _CPU)
    large = estimate_batch(pipeline, _call(1), (128, 128), _CPU)
    assert large.image_bytes == pytest.approx(4 * small.image_bytes)


def test_what_fits_passes_and_one_more_is_refused_with_the_number() -> None:
    memory = BatchMemory(image_bytes=_GIB, free_bytes=int(7.5 * _GIB))
    refuse_too_large(_call(7), memory)
    with pytest.raises(WorkError, match="8 images of 64x64") as caught:
        refuse_too_large(_call(8), memory)
    assert caught.value.next_step == "--batch 7 should fit"
    assert "about 8.0 GiB; 7.5 GiB were free" in caught.value.cause


def test_where_not_even_one_fits_no_batch_is_advised() -> None:
    with pytest.raises(WorkError, match="1 image of 64x64") as caught:
        refuse_too_large(_call(1), BatchMemory(image_bytes=_GIB, free_bytes=5))
    assert "smaller images" in caught.value.next_step


def test_memory_that_runs_out_all_the_same_halves_the_advice() -> None:
    memory = BatchMemory(image_bytes=1, free_bytes=100)
    with pytest.raises(WorkError) as caught, out_of_memory_explained(_call(8), memory):
        torch.empty(2**52)
    assert "memory ran out" in caught.value.cause
    assert caught.value.next_step == "--batch 4 should fit"


def test_other_errors_stay_what_they_are() -> None:
    memory = BatchMemory(image_bytes=1, free_bytes=100)
    with pytest.raises(RuntimeError, match="size"), out_of_memory_explained(_call(8), memory):
        torch.ones(2) + torch.ones(3)


def test_the_estimate_is_near_what_a_batch_takes() -> None:
    """The embedded model's batch of 64 in a process of its own, its peak against the estimate."""
    found = subprocess.run(
        [sys.executable, "-c", _MEASURE], capture_output=True, text=True, check=True, timeout=600
    )
    estimated, taken = map(float, found.stdout.split()[-2:])
    assert 0.4 * taken < estimated < 2.5 * taken


_MEASURE = """
import torch
from pixart_tui.engine.bench.memory import peak_bytes, reset_peak
from pixart_tui.engine.generation.call import GenerateCall, make_call
from pixart_tui.engine.generation.fitting import estimate_batch
from pixart_tui.engine.loading import load_pipeline
import psutil
torch.set_num_threads(1)
cpu = torch.device("cpu")
pipeline = load_pipeline("pixart-emoji", dtype=torch.float32, device=cpu).pipeline
options = {"guidance_scale": 2.0, "max_sequence_length": 32, "use_resolution_binning": False}
call = GenerateCall("owl", "", 128, 128, 64, 0, 2, options)
image_bytes = estimate_batch(pipeline, call, (128, 128), cpu).image_bytes
before = psutil.Process().memory_info().rss
reset_peak(cpu)
make_call(pipeline, call, "image", cpu, lambda done: None)
print(64 * image_bytes, peak_bytes(cpu) - before)
"""
