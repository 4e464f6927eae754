"""Reports a child's warm-up while its first call runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.worker.bench.messages import CaseSpec, FiguresFound, Message, Purpose, WarmupSeen

if TYPE_CHECKING:
    from pixart_tui.engine.compilers.progress import WarmupProgress

_REGIONS_FIELD: Final = {
    Purpose.COMPILE: "warmup_compile_regions",
    Purpose.CACHE: "warmup_cache_regions",
    Purpose.WARM: "warmup_cache_regions",
}


def begin_warmup(spec: CaseSpec, tell: Callable[[Message], None]) -> WarmupProgress:
    """A warm-up that tells of itself from inside the blocking first call."""
    from pixart_tui.engine.compilers.progress import WarmupProgress

    def send(warmup: Warmup) -> None:
        tell(WarmupSeen(type="warmup", warmup=warmup))

    cached = spec.purpose in (Purpose.CACHE, Purpose.WARM)
    return WarmupProgress(send, cached=cached, estimates=spec.estimates)


def end_warmup(spec: CaseSpec, progress: WarmupProgress) -> Iterator[Message]:
    """The finished regions as figures of the row; nothing where nothing was to be compiled."""
    warmup = progress.finish()
    field = _REGIONS_FIELD.get(spec.purpose)
    if warmup is not None and field is not None:
        yield FiguresFound.model_validate({"type": "figures", field: warmup.regions})
