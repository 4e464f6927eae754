"""Measuring layers side by side: one lane a core on a CPU, one lane on a GPU.

A small model keeps one core busy with one layer better than two cores with one: each lane runs
single-threaded, so results do not depend on how many lanes there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeAlias, TypeVar

import torch

from pixart_tui.domain.errors import CancelledError
from pixart_tui.engine.twins import weight_twin

# diffusers ships no types; the name says what is meant.
Pipeline: TypeAlias = object

_Lane = TypeVar("_Lane")
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def lane_count(device: torch.device, threads: int) -> int:
    """How many layers are measured at once."""
    return threads if device.type == "cpu" else 1


def twin_of(pipeline: Pipeline) -> Pipeline:
    """A pipeline with a transformer of its own, whose layers can be swapped; weights are shared."""
    components: dict[str, torch.nn.Module] = dict(pipeline.components)  # type: ignore[attr-defined]
    return type(pipeline)(**components | {"transformer": weight_twin(components["transformer"])})


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch uses this many threads for one operation meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class StopSwitch:
    """A check that every lane makes between steps; it raises once somebody has pressed it."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._stopped = threading.Event()

    def press(self) -> None:
        """Ends every lane at its next step."""
        self._stopped.set()

    def __call__(self) -> None:
        """Raises if the work is to end."""
        if self._stopped.is_set():
            raise CancelledError("another lane has ended the work")
        self._check()


def in_lanes(
    lanes: Sequence[_Lane],
    tasks: Sequence[_Task],
    work: Callable[[_Lane, _Task], _Result],
    stop: StopSwitch,
) -> Generator[_Result, None, None]:
    """The results as they come, each task done in whichever lane is free.

    Args:
        lanes: What works; a lane does one task at a time.
        tasks: What is to be done.
        work: Does a task in a lane.
        stop: Pressed when the caller stops listening or a task fails.
    """
    free: SimpleQueue[_Lane] = SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def do(task: _Task) -> _Result:
        lane = free.get()
        try:
            return work(lane, task)
        finally:
            free.put(lane)

    pool = ThreadPoolExecutor(len(lanes), initializer=torch.set_num_threads, initargs=(1,))
    try:
        for future in as_completed([pool.submit(do, task) for task in tasks]):
            yield future.result()
    finally:
        stop.press()
        pool.shutdown(cancel_futures=True)
