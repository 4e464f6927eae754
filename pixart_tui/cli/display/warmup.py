"""A warm-up as plain lines: one each time something happens to a region."""

from __future__ import annotations

from collections.abc import Iterator

from pixart_tui.domain.benchmarks.warmup import Region, RegionState, describe_region
from pixart_tui.runs.snapshot import RunSnapshot


class WarmupNews:
    """Remembers the latest update of each region."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, bool, str], str] = {}

    def lines(self, snapshot: RunSnapshot) -> Iterator[str]:
        """Yields the news since the last call."""
        for label, found in snapshot.benchmark.warmups.items():
            for region in found.warmup.regions:
                key = (label, found.warmup.cached, region.name)
                what = describe_region(region)
                if self._told.get(key) != what:
                    self._told[key] = what
                    yield f"{label}: {what}{_times(region)}"


def _times(region: Region) -> str:
    if region.state is RegionState.WAITING:
        return ""
    elapsed = f", {region.elapsed_s:.1f} s"
    if region.state is RegionState.DONE:
        return elapsed
    if region.left_s is None:
        return f"{elapsed}; how long it takes is not known the first time"
    return f"{elapsed}, about {region.left_s:.0f} s left"


def describe_warmup(snapshot: RunSnapshot) -> str:
    """Names the regions that compile at this moment; empty if none does."""
    found = snapshot.benchmark.warming_up
    if found is None:
        return ""
    compiling = [r for r in found.warmup.regions if r.state is RegionState.COMPILING]
    return f", {compiling[0].name} {compiling[0].elapsed_s:.0f} s" if compiling else ""
