"""Tracks the regions that compile while a pipeline warms up."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from pixart_tui.domain.values import Value

TOTAL: Final = "warm-up"
"""The whole warm-up among the estimates, beside its regions."""


class RegionState(StrEnum):
    """How far a region has come."""

    WAITING = "waiting"
    """Nothing of it was compiled yet, or something is still to come."""

    COMPILING = "compiling"
    DONE = "done"


class Region(Value):
    """A part of a pipeline that is compiled, or captured, before it runs at full speed.

    Attributes:
        name: ``transformer blocks``, ``VAE decoder``, ``Triton kernels``, ``CUDA graphs``.
        found: Parts that run compiled: modules, kernels, captures; None where that is not known.
        graphs: How many of them have to be compiled: one graph serves all modules of a kind.
            None where that is not known.
        compiled: Graphs, kernels or captures that this process made.
        from_cache: Those that it found in a cache instead.
        autotuned: Candidates whose speed was measured to choose among them.
        state: How far it is.
        elapsed_s: Seconds spent on it so far.
        estimated_s: Seconds that it took before under the same conditions; None if it never ran.
    """

    name: str
    found: int | None = None
    graphs: int | None = None
    compiled: int = 0
    from_cache: int = 0
    autotuned: int = 0
    state: RegionState = RegionState.WAITING
    elapsed_s: float = 0.0
    estimated_s: float | None = None

    @property
    def ready(self) -> int:
        """Graphs, kernels or captures that can run."""
        return self.compiled + self.from_cache

    @property
    def is_complete(self) -> bool:
        """Whether everything that is known to be needed can run."""
        return self.ready >= max(self.graphs or 0, 1)

    @property
    def progress(self) -> str:
        """``1 of 2``; ``1`` where the total is not known.

        Modules of one kind may still need more graphs than one; the total then grows with them.
        """
        if self.graphs is None:
            return f"{self.ready}"
        return f"{self.ready} of {max(self.graphs, self.ready)}"

    @property
    def left_s(self) -> float | None:
        """Seconds that are left by the last time's figure; None where there is none.

        0 means that it is done, or takes longer than the last time.
        """
        if self.state is RegionState.DONE:
            return 0.0
        return None if self.estimated_s is None else max(0.0, self.estimated_s - self.elapsed_s)


class Warmup(Value):
    """A process's way to its first image.

    Attributes:
        cached: Whether it found the caches that another process had left.
        regions: What compiles, in the order in which it was found.
        elapsed_s: Seconds since the model was loaded.
        estimated_s: Seconds that all of it took before; None if it never ran.
        finished: Whether the first call has ended.
    """

    cached: bool
    regions: tuple[Region, ...]
    elapsed_s: float
    estimated_s: float | None = None
    finished: bool = False

    @property
    def left_s(self) -> float | None:
        """Seconds that are left by the last time's figure; None where there is none."""
        if self.finished:
            return 0.0
        return None if self.estimated_s is None else max(0.0, self.estimated_s - self.elapsed_s)

    @property
    def seconds(self) -> dict[str, float]:
        """Region to the seconds that it took, and ``TOTAL`` to all: the next time's estimates."""
        made = {region.name: region.elapsed_s for region in self.regions if region.ready}
        return {TOTAL: self.elapsed_s, **made}


def describe_region(region: Region) -> str:
    """A region in one line without its time: what changes when something happens."""
    parts = [f"{region.name}: {region.state}"]
    if region.found is not None and region.found != region.graphs:
        parts.append(f"{region.found} found")
    parts.append(f"{region.progress} ready")
    if region.from_cache:
        parts.append(f"{region.from_cache} from cache")
    if region.autotuned:
        parts.append(f"{region.autotuned} candidates timed")
    return ", ".join(parts)


def describe_finished(regions: Sequence[Region]) -> list[str]:
    """Describes a finished warm-up, a line each: ``transformer blocks 12.3 s (1 made)``."""
    return [
        f"{region.name} {region.elapsed_s:.1f} s ({_made(region)})"
        for region in regions
        if region.ready
    ]


def _made(region: Region) -> str:
    counts = ((region.compiled, "made"), (region.from_cache, "cached"), (region.autotuned, "timed"))
    return ", ".join(f"{count} {what}" for count, what in counts if count)
