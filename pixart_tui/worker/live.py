"""Tells viewers what a worker does at this moment, from a thread that mostly sleeps.

A benchmark's row runs in a process of its own; this thread is in the worker's, which waits. So the
timed calls share no interpreter with it: what reaches them is one question to the driver a second.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pixart_tui.domain.live import Gauges, Live, Pace
from pixart_tui.runs.live import write_live
from pixart_tui.worker.gauges import gauge_reader

SAMPLE_EVERY_S: Final = 1.0
WRITE_EVERY_S: Final = 0.5
PACES_KEPT: Final = 60
"""Half a minute, as much as a screen shows. ``live.json`` never holds more."""


class LiveReport:
    """Reports the latest figures."""

    def __init__(self) -> None:
        self._pace: tuple[str, deque[float]] = ("", deque(maxlen=PACES_KEPT))
        self._told = 0
        self._lock = threading.Lock()

    def add_pace(self, label: str, iterations_per_s: float) -> None:
        """A row goes as fast as this; another row begins anew."""
        with self._lock:
            if label != self._pace[0]:
                self._pace = (label, deque(maxlen=PACES_KEPT))
            self._pace[1].append(float(f"{iterations_per_s:.4g}"))
            self._told += 1

    def take(self) -> tuple[Pace | None, int]:
        """The latest pace, and how many updates there were."""
        with self._lock:
            label, paces = self._pace
            pace = Pace(label=label, iterations_per_s=tuple(paces)) if paces else None
            return pace, self._told


@contextmanager
def live_report(path: Path, device: str) -> Iterator[LiveReport]:
    """Writes ``live.json`` while the context lasts: gauges every second, a pace as it comes."""
    report, stopped = LiveReport(), threading.Event()

    def write() -> None:
        read, cpu_cores = gauge_reader(device), len(os.sched_getaffinity(0))
        gauges: Gauges | None = None
        sampled_s, written = float("-inf"), -1
        while not stopped.wait(WRITE_EVERY_S):
            pace, told = report.take()
            due = time.monotonic() - sampled_s >= SAMPLE_EVERY_S - WRITE_EVERY_S / 2
            if due:
                gauges, sampled_s = read(), time.monotonic()
            if due or told != written:
                written = told
                now = Live(t=time.time(), cpu_cores=cpu_cores, gauges=gauges, pace=pace)
                write_live(path, now)

    thread = threading.Thread(target=write, name="live", daemon=True)
    thread.start()
    try:
        yield report
    finally:
        stopped.set()
        thread.join()
