"""How busy the device of a run is: a GPU by NVML, else the run's own processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psutil

from pixart_tui.domain.live import Gauges
from pixart_tui.machine.machine_kind import visible_gpu
from pixart_tui.machine.nvml import gpu_handle, read_gauges

_LOOK_UP_EVERY: Final = 5


def gauge_reader(device: str) -> Callable[[], Gauges | None]:
    """Returns a reader of the device's figures.

    Args:
        device: ``cpu`` or ``cuda:N``.
    """
    if device == "cpu":
        return ProcessGauges().read
    handle = gpu_handle(visible_gpu(device))
    return lambda: None if handle is None else read_gauges(handle)


class ProcessGauges:
    """Processor time and memory of this process and all that it started.

    What it started is looked up at every fifth reading only: that reads all processes there are.
    """

    def __init__(self) -> None:
        self._cpu_s: dict[int, float] = {}
        self._processes: list[psutil.Process] = []
        self._readings = 0
        self._read_s = time.perf_counter()
        self._memory_bytes = psutil.virtual_memory().total
        self.read()

    def read(self) -> Gauges:
        """The share since the last reading; a process that is new counts from its start."""
        now_s = time.perf_counter()
        before, self._cpu_s, resident = self._cpu_s, {}, 0
        for process in self._known():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                self._cpu_s[process.pid] = times.user + times.system
                resident += process.memory_info().rss
        spent_s = sum(cpu_s - before.get(pid, 0.0) for pid, cpu_s in self._cpu_s.items())
        elapsed_s, self._read_s = now_s - self._read_s, now_s
        return Gauges(
            source="processes",
            utilization=spent_s / elapsed_s if elapsed_s > 0 else 0.0,
            memory_bytes=resident,
            memory_total_bytes=self._memory_bytes,
        )

    def _known(self) -> list[psutil.Process]:
        if self._readings % _LOOK_UP_EVERY == 0:
            me = psutil.Process()
            self._processes = [me, *me.children(recursive=True)]
        self._readings += 1
        return self._processes
