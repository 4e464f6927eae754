from __future__ import annotations

import time

import pytest
import torch

from pixart_tui.engine.bench.clock import CudaClock, WallClock
from pixart_tui.engine.bench.timing import (
    IterationTimer,
    TimedModule,
    timed_transformer,
    timer_for,
)
from pixart_tui.engine.loading import LoadedPipeline


class _Schedule:
    """A clock that reads the next of some given moments, in seconds."""

    def __init__(self, *moments_s: float) -> None:
        self._moments_s = iter(moments_s)

    def mark(self) -> float:
        return next(self._moments_s)

    def elapsed_s(self, first: float, last: float) -> float:
        return last - first

    def is_past(self, mark: float) -> bool:
        return True


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


def test_a_module_is_timed_by_the_median_of_its_calls() -> None:
    timed = TimedModule(torch.nn.Identity(), _Schedule(0.0, 1.0, 5.0, 8.0, 9.0, 11.0))
    assert timed.median_s() is None
    assert [timed(x) for x in "abc"] == ["a", "b", "c"]
    assert timed.median_s() == 2.0


def test_a_compiled_module_and_a_replaced_forward_are_timed_without_touching_them() -> None:
    module = torch.nn.Linear(4, 4)
    module.__dict__["forward"] = lambda x: x + 1.0
    graphs: list[torch.fx.GraphModule] = []

    def backend(graph: torch.fx.GraphModule, _: object) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    module.compile(backend=backend)
    timed = TimedModule(module, WallClock())
    assert torch.equal(timed(torch.ones(2)), torch.full((2,), 2.0))
    timed(torch.ones(2))
    assert len(graphs) == 1
    assert timed.in_features == 4
    assert timed.median_s()


def test_the_pipeline_has_its_transformer_back_even_after_an_error(tiny: LoadedPipeline) -> None:
    pipeline = tiny.pipeline
    transformer, config = pipeline.transformer, dict(pipeline.config)
    cpu = torch.device("cpu")

    def fail() -> None:
        with timed_transformer(pipeline, cpu) as timed:
            assert pipeline.transformer is timed
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert pipeline.transformer is transformer
    assert dict(pipeline.config) == config


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
