"""Reports a child's warm-up while its first call runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pixart_tui.domain.benchmarks.rows import Figures
from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.worker.bench.messages import CaseSpec, FiguresFound, Message, Purpose, WarmupSeen

if TYPE_CHECKING:
    from pixart_tui.engine.compilers.progress import WarmupProgress


def begin_warmup(spec: CaseSpec, tell: Callable[[Message], None]) -> WarmupProgress:
    """A warm-up that tells of itself from inside the blocking first call."""
    from pixart_tui.engine.compilers.progress import WarmupProgress

    def send(warmup: Warmup) -> None:
        tell(WarmupSeen(warmup=warmup))

    cached = spec.purpose in (Purpose.CACHE, Purpose.WARM)
    return WarmupProgress(send, cached=cached, estimates=spec.estimates)


def end_warmup(spec: CaseSpec, progress: WarmupProgress) -> Iterator[Message]:
    """The finished regions as figures of the row; nothing where nothing was to be compiled."""
    warmup = progress.finish()
    if warmup is None:
        return
    if spec.purpose is Purpose.COMPILE:
        yield FiguresFound(figures=Figures(warmup_compile_regions=warmup.regions))
    if spec.purpose in (Purpose.CACHE, Purpose.WARM):
        yield FiguresFound(figures=Figures(warmup_cache_regions=warmup.regions))
