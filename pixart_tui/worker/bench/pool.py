"""Merges the findings of a row's processes into the row's figures."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from pixart_tui.domain.benchmarks.rows import Clocks, Figures, Statistic, warmup_s
from pixart_tui.worker.bench.messages import CallTimed

_T = TypeVar("_T")


@dataclass
class Pool:
    """The calls and figures of a row, over all of its processes.

    Attributes:
        calls: Every timed call; all count alike.
        found: The figures that a process knows, one value a message.
        cached_start_counts: Whether the start with a cache found anything there.
    """

    calls: list[CallTimed] = field(default_factory=list)
    found: list[Figures] = field(default_factory=list)
    cached_start_counts: bool = True

    def merged(self) -> Figures:
        """The row's figures: the largest peak, median warm-ups, the last of what stays the same."""
        speed = _statistic(call.iterations_per_s for call in self.calls)
        cold_calls = self._last(lambda x: x.cold_calls or None) or ()
        clocks = self._every(lambda x: x.clocks)
        return Figures(
            iterations_per_s=speed,
            transformer_s=_statistic(call.transformer_s for call in self.calls),
            e2e_s=_statistic(call.e2e_s for call in self.calls),
            peak_bytes=max(self._every(lambda x: x.peak_bytes), default=None),
            peak_reserved_bytes=max(self._every(lambda x: x.peak_reserved_bytes), default=None),
            chosen_memory=self._last(lambda x: x.chosen_memory or None) or "",
            memory_estimate_bytes=self._last(lambda x: x.memory_estimate_bytes),
            clocks=Clocks.pooled(clocks) if clocks else None,
            warmup_run_s=self._median(lambda x: x.warmup_run_s),
            warmup_compile_s=warmup_s(cold_calls, speed.median if speed else None)
            if cold_calls
            else None,
            cold_calls=cold_calls,
            warmup_compile_regions=self._last(lambda x: x.warmup_compile_regions or None) or (),
            warmup_cache_s=self._median(lambda x: x.warmup_cache_s)
            if self.cached_start_counts
            else None,
            warmup_cache_regions=self._last(lambda x: x.warmup_cache_regions or None) or (),
            cache_hits=self._last(lambda x: x.cache_hits),
            cache_misses=self._last(lambda x: x.cache_misses),
            ssim=self._last(lambda x: x.ssim),
            psnr_db=self._last(lambda x: x.psnr_db),
            images_equal=self._last(lambda x: x.images_equal),
        )

    def _every(self, figure: Callable[[Figures], _T | None]) -> list[_T]:
        return [value for x in self.found if (value := figure(x)) is not None]

    def _last(self, figure: Callable[[Figures], _T | None]) -> _T | None:
        return next(reversed(self._every(figure)), None)

    def _median(self, figure: Callable[[Figures], float | None]) -> float | None:
        known = self._every(figure)
        return statistics.median(known) if known else None


def _statistic(samples: Iterable[float | None]) -> Statistic | None:
    known = [sample for sample in samples if sample is not None]
    return Statistic.of(known) if known else None
