"""A warm-up under way as lines: what compiles, how far it is, and how long it may take."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pixart_tui.domain.benchmarks.warmup import Region, RegionState, Warmup
from pixart_tui.domain.events import WarmupProgressed
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, fit_right, line, printable

_NAME_CELLS: Final = 20
_COLUMNS: Final = (
    ("found", 7),
    ("ready", 10),
    ("cached", 8),
    ("tuned", 7),
    ("elapsed", 9),
    ("left", 9),
)
_MARKS: Final[dict[RegionState, tuple[str, CellStyle]]] = {
    RegionState.WAITING: (glyphs.QUEUED, "muted"),
    RegionState.COMPILING: (glyphs.RUNNING, "live"),
    RegionState.DONE: (glyphs.DONE, "good"),
}


def warmup_lines(found: WarmupProgressed, width: int) -> Iterator[Line]:
    """The warm-up's head, and a line for each region; an empty line ends it."""
    warmup = found.warmup
    caches = "with cache" if warmup.cached else "with empty caches"
    times = f": {_times(warmup)}"
    text = f" warm-up of {printable(found.label)} {caches}"
    yield line(fit(text, min(len(text), width - len(times))), times)
    head = _cells("region", [name for name, _ in _COLUMNS])
    yield line("   ", Span(fit(head, width - 3), "head"))
    for region in warmup.regions:
        mark, cell_style = _MARKS[region.state]
        cells = _cells(printable(region.name), _figures(region))
        yield line(" ", Span(mark, cell_style), " ", fit(cells, width - 3))
    yield line()


def _times(warmup: Warmup) -> str:
    elapsed = wording.duration(warmup.elapsed_s)
    if warmup.left_s is None:
        return f"{elapsed}, time left not known the first time"
    if warmup.left_s == 0:
        return f"{elapsed}, longer than the last time"
    return f"{elapsed}, about {wording.duration(warmup.left_s)} left"


def _figures(region: Region) -> list[str]:
    return [
        "-" if region.found is None else str(region.found),
        region.progress,
        str(region.from_cache),
        str(region.autotuned),
        wording.duration(region.elapsed_s),
        wording.duration(region.left_s),
    ]


def _cells(name: str, figures: list[str]) -> str:
    columns = zip(figures, _COLUMNS, strict=True)
    return fit(name, _NAME_CELLS) + "".join(fit_right(x, cells) for x, (_, cells) in columns)
