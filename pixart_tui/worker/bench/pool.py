"""Merges the findings of a row's processes into the row's figures."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any, Final

from pixart_tui.domain.benchmarks.rows import Clocks, Statistic
from pixart_tui.worker.bench.messages import CallTimed, FiguresFound

TIMED_FIGURES: Final = ("iterations_per_s", "transformer_s", "e2e_s")

_LARGEST: Final = {"peak_bytes", "peak_reserved_bytes"}
_MEDIAN: Final = {"warmup_run_s", "warmup_cache_s"}


class Pool:
    """The calls and figures of a row, over all of its processes.

    Every timed call counts alike. Of the rest there is one value a process: the largest peak, the
    median warm-up, and the last of what does not change.
    """

    def __init__(self) -> None:
        self._calls: dict[str, list[float]] = defaultdict(list)
        self._figures: dict[str, list[Any]] = defaultdict(list)

    def add_call(self, call: CallTimed) -> dict[str, object]:
        """Takes a timed call; gives the row's fields that change with it."""
        for name in TIMED_FIGURES:
            value = getattr(call, name)
            if value is not None:
                self._calls[name].append(value)
        return {name: Statistic.of(values) for name, values in self._calls.items()}

    def add_figures(self, found: FiguresFound) -> dict[str, object]:
        """Takes what one process says once; gives the row's fields that change with it."""
        known = found.known()
        for name, value in known.items():
            self._figures[name].append(value)
        return {name: _pooled(name, self._figures[name]) for name in known}


def _pooled(name: str, values: list[Any]) -> object:
    if name in _LARGEST:
        return max(values)
    if name in _MEDIAN:
        return statistics.median(values)
    if name == "clocks":
        return Clocks.pooled(values)
    return values[-1]
