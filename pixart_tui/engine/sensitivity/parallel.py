"""Measuring layers side by side: one replica a core on a CPU, one replica on a GPU.

A small model keeps one core busy with one layer better than two cores with one: each replica runs
single-threaded, so results do not depend on how many replicas there are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from queue import SimpleQueue
from typing import TypeVar

import torch

from pixart_tui.domain.errors import CancelledError
from pixart_tui.engine.typing import Pipeline
from pixart_tui.engine.weight_sharing import weight_sharing_copy

_Replica = TypeVar("_Replica")
_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


def replica_count(device: torch.device, threads: int) -> int:
    """How many layers are measured at once."""
    return threads if device.type == "cpu" else 1


def replica_of(pipeline: Pipeline) -> Pipeline:
    """A pipeline with a transformer of its own, whose layers can be swapped; weights are shared."""
    components: dict[str, torch.nn.Module] = dict(pipeline.components)
    return type(pipeline)(
        **components | {"transformer": weight_sharing_copy(components["transformer"])}
    )


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Torch uses this many threads for one operation meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class CancelToken:
    """A check that every replica makes between steps; it raises once it is cancelled."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check
        self._stopped = threading.Event()

    def cancel(self) -> None:
        """Ends every replica at its next step."""
        self._stopped.set()

    def __call__(self) -> None:
        """Raises if the work is to end."""
        if self._stopped.is_set():
            raise CancelledError("another replica has ended the work")
        self._check()


def run_parallel(
    replicas: Sequence[_Replica],
    tasks: Sequence[_Task],
    work: Callable[[_Replica, _Task], _Result],
    stop: CancelToken,
) -> Generator[_Result, None, None]:
    """The results as they come, each task done in whichever replica is free.

    Args:
        replicas: What works; a replica does one task at a time.
        tasks: What is to be done.
        work: Does a task in a replica.
        stop: Pressed when the caller stops listening or a task fails.
    """
    free: SimpleQueue[_Replica] = SimpleQueue()
    for replica in replicas:
        free.put(replica)

    def do(task: _Task) -> _Result:
        replica = free.get()
        try:
            return work(replica, task)
        finally:
            free.put(replica)

    pool = ThreadPoolExecutor(len(replicas), initializer=torch.set_num_threads, initargs=(1,))
    try:
        for future in as_completed([pool.submit(do, task) for task in tasks]):
            yield future.result()
    finally:
        stop.cancel()
        pool.shutdown(cancel_futures=True)
