"""Steps per second while a call runs: coalesced, and waiting for nothing."""

from __future__ import annotations

import time

import pytest
import torch

from pixart_tui.engine.bench.pace import TELL_EVERY_S, StepPace
from pixart_tui.engine.bench.timing import IterationTimer, timer_for


class _Device:
    """A processor's clock and a device's marks, both moved by hand; a mark is past once reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 100.0
        self.device_s = 100.0
        self.next_mark_s = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now_s)

    def mark(self) -> float:
        return self.next_mark_s

    def elapsed_s(self, first: float, last: float) -> float:
        assert last <= self.device_s, "it would have to wait"
        return last - first

    def is_past(self, mark: float) -> bool:
        return mark <= self.device_s


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> _Device:
    return _Device(monkeypatch)


def _steps(device: _Device, timer: IterationTimer[float], count: int, step_s: float) -> None:
    """Steps of a device that the processor waits for."""
    for _ in range(count):
        device.now_s += step_s
        device.device_s = device.next_mark_s = device.now_s
        timer(0, None, None)


def test_many_quick_steps_are_told_together(device: _Device) -> None:
    told: list[float] = []
    _steps(device, IterationTimer(device, StepPace(told.append)), 101, 0.02)

    assert told == pytest.approx([50.0] * len(told))
    assert 3 <= len(told) <= 4


def test_slow_steps_are_told_one_by_one(device: _Device) -> None:
    told: list[float] = []
    timer = IterationTimer(device, StepPace(told.append))
    for step_s in (2.0, 2.0, 4.0):
        _steps(device, timer, 1, step_s)

    assert told == pytest.approx([0.5, 0.25])


def test_a_pace_never_spans_two_calls(device: _Device) -> None:
    told: list[float] = []
    pace = StepPace(told.append)
    _steps(device, IterationTimer(device, pace), 3, 1.0)
    device.now_s += 60.0  # the image is decoded, the next prompt encoded
    _steps(device, IterationTimer(device, pace), 3, 0.5)

    assert told == pytest.approx([1.0, 1.0, 2.0, 2.0])


def test_of_steps_that_only_wait_in_the_stream_nothing_is_told(device: _Device) -> None:
    told: list[float] = []
    timer = IterationTimer(device, StepPace(told.append))
    for step in range(20):  # the processor runs ahead: the device is nowhere yet
        device.now_s += 0.1
        device.next_mark_s = 101.0 + step
        timer(0, None, None)
    assert told == []

    device.device_s = 120.0
    timer.finish()
    assert told == pytest.approx([1.0])


def test_short_calls_are_told_about_twice_a_second(device: _Device) -> None:
    told: list[float] = []
    pace = StepPace(told.append)
    for _ in range(20):  # four seconds
        timer = IterationTimer(device, pace)
        _steps(device, timer, 4, 0.05)
        timer.finish()

    assert told == pytest.approx([20.0] * len(told))
    assert 4 <= len(told) <= 4.0 / TELL_EVERY_S


def test_without_a_listener_nothing_changes() -> None:
    timer = timer_for(torch.device("cpu"))
    for _ in range(3):
        timer(0, None, None)
    timer.finish()

    assert timer.iterations_per_s() is not None


@pytest.mark.gpu
def test_a_gpus_pace_is_that_of_the_gpu() -> None:
    cuda, told = torch.device("cuda", 0), list[float]()
    timer = timer_for(cuda, StepPace(told.append))
    matrix = torch.randn(8192, 8192, device=cuda)
    until_s = time.perf_counter() + 3 * TELL_EVERY_S
    while time.perf_counter() < until_s:
        for _ in range(20):
            matrix @ matrix
        timer(0, None, None)
        torch.cuda.synchronize()
    whole = timer.iterations_per_s()

    assert whole is not None
    assert told
    assert all(0.5 < pace / whole < 2 for pace in told)
