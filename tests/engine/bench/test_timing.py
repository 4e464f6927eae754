from __future__ import annotations

import time

import pytest
import torch

from pixart_tui.engine.bench.timing import CudaClock, IterationTimer, WallClock, timer_for


class _Schedule:
    """A clock that reads the next of some given moments, in seconds."""

    def __init__(self, *moments_s: float) -> None:
        self._moments_s = iter(moments_s)

    def mark(self) -> float:
        return next(self._moments_s)

    def elapsed_s(self, first: float, last: float) -> float:
        return last - first


def _after(*moments_s: float) -> float | None:
    timer = IterationTimer(_Schedule(*moments_s))
    for step in range(len(moments_s)):
        timer(step, object(), object())
    return timer.iterations_per_s()


def test_the_first_step_starts_the_clock_and_is_not_counted() -> None:
    assert _after(100.0, 100.5, 101.0, 102.0) == pytest.approx(3 / 2.0)
    assert _after(0.0, 0.25) == pytest.approx(4.0)


@pytest.mark.parametrize("moments_s", [(), (7.0,)])
def test_fewer_than_two_steps_have_no_speed(moments_s: tuple[float, ...]) -> None:
    assert _after(*moments_s) is None


def test_the_wall_clock_counts_seconds() -> None:
    timer = IterationTimer(WallClock())
    for step in range(3):
        timer(step, None, None)
        time.sleep(0.02)
    speed = timer.iterations_per_s()
    assert speed is not None
    assert 5 < speed < 50


def test_a_cpu_gets_the_wall_clock() -> None:
    timer = timer_for(torch.device("cpu"))
    timer(0, None, None)
    timer(1, None, None)
    assert timer.iterations_per_s()


@pytest.mark.gpu
def test_cuda_events_time_the_gpu_and_not_the_queueing() -> None:
    matrix = torch.randn(4096, 4096, device="cuda")

    def step() -> None:
        for _ in range(20):
            matrix @ matrix

    step()
    torch.cuda.synchronize()
    timer = IterationTimer(CudaClock())
    started = time.perf_counter()
    for index in range(5):
        step()
        timer(index, None, None)
    queued_s = time.perf_counter() - started
    speed = timer.iterations_per_s()
    torch.cuda.synchronize()
    worked_s = time.perf_counter() - started
    assert speed is not None
    assert queued_s < worked_s
    assert 4 / speed == pytest.approx(worked_s * 4 / 5, rel=0.3)
