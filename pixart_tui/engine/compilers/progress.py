"""A warm-up told region by region, while one blocking call compiles everything.

torch tells when a compilation begins and ends (``torch._dynamo.callback``) and counts graphs and
cache hits (``torch._dynamo.utils.counters``). Which module a graph belongs to is read off the call
stack: hooks on the modules would become part of the graphs. Hand-written kernels and captures
report themselves through :func:`region`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, Final

from torch import nn
from torch._dynamo import OptimizedModule
from torch._dynamo.callback import CallbackArgs, CallbackTrigger, callback_handler
from torch._dynamo.utils import counters

from pixart_tui.domain.benchmarks.warmup import TOTAL, Region, RegionState, Warmup
from pixart_tui.engine.compilers.inductor import cache_use
from pixart_tui.engine.typing import Pipeline

Report = Callable[[Region], None]

_TRITON_KERNELS: Final = "Triton kernels"
_OUR_KERNELS: Final = "pixart_tui."
_CUDA_GRAPHS: Final = "CUDA graphs"
_OTHER: Final = "other"
_PARTS: Final = (
    ("transformer", "transformer"),
    ("text_encoder", "text encoder"),
    ("vae", "VAE decoder"),
)
_IN_BLOCKS: Final = ("transformer", "text encoder")
_LEAST_INTERVAL_S: Final = 0.25
_TICK_S: Final = 0.5


class RegionInWork:
    """A hand-written region under way."""

    def __init__(self, region: Region, report: Report) -> None:
        self._region = region
        self._report = report
        self._started_s = time.monotonic()
        report(region)

    def advance(self, count: int = 1, *, from_cache: bool = False) -> None:
        """Tells that some more kernels or captures can run."""
        field = "from_cache" if from_cache else "compiled"
        self._tell(**{field: getattr(self._region, field) + count})

    def autotuned(self, candidates: int) -> None:
        """Tells that the speed of some more candidates was measured."""
        self._tell(autotuned=self._region.autotuned + candidates)

    def finish(self) -> None:
        """Tells that it is done."""
        self._tell(state=RegionState.DONE)

    def _tell(self, **changes: object) -> None:
        elapsed_s = {"elapsed_s": time.monotonic() - self._started_s}
        self._region = self._region.replace(**(elapsed_s | changes))
        self._report(self._region)


@contextmanager
def region(name: str, found: int | None, report: Report) -> Iterator[RegionInWork]:
    """Reports the making of kernels or captures that torch knows nothing of.

    Args:
        name: What is made, in the plural: ``Triton kernels``.
        found: How many; None where that is not known.
        report: Takes the region each time something of it changes.
    """
    begun = Region(name=name, found=found, graphs=found, state=RegionState.COMPILING)
    work = RegionInWork(begun, report)
    yield work
    work.finish()


class WarmupProgress:
    """The regions of one warm-up; tells of them as they change and as time passes.

    Args:
        tell: Takes the warm-up: at each change of a region's state, of other changes at most four
            a second, and twice a second while nothing changes. Called from two threads, never from
            both at once.
        cached: Whether the process finds the caches that another one left.
        estimates: Region to the seconds that it took before; ``TOTAL`` for all.
    """

    def __init__(
        self,
        tell: Callable[[Warmup], None],
        *,
        cached: bool,
        estimates: Mapping[str, float],
    ) -> None:
        self._tell = tell
        self._cached = cached
        self._estimates = estimates
        self._regions: dict[str, Region] = {}
        self._taken_s: dict[str, float] = {}
        self._started_s = time.monotonic()
        self._told_s = 0.0
        self._lock = threading.RLock()
        self._over = threading.Event()
        self._ticker = threading.Thread(target=self._tick, name="warm-up", daemon=True)

    def take(self, region: Region) -> None:
        """Takes in the current state of a region; updates after its end are ignored."""
        with self._lock:
            if self._over.is_set():
                return
            if not self._regions:
                self._ticker.start()
            before = self._regions.get(region.name)
            estimated_s = self._estimates.get(region.name)
            self._regions[region.name] = region.replace(estimated_s=estimated_s)
            now_s = self._taken_s[region.name] = time.monotonic()
            changed = before is None or before.state is not region.state
            if changed or now_s - self._told_s >= _LEAST_INTERVAL_S:
                self._say()

    def add(
        self, name: str, *, compiled: int = 0, from_cache: int = 0, elapsed_s: float = 0.0
    ) -> None:
        """Takes in that more of a region is ready, where its total is unknown."""
        with self._lock:
            known = self.region(name)
            changes = {
                "compiled": known.compiled + compiled,
                "from_cache": known.from_cache + from_cache,
                "elapsed_s": known.elapsed_s + elapsed_s,
            }
            region = known.replace(**changes)
            state = RegionState.DONE if region.is_complete else RegionState.COMPILING
            self.take(region.replace(state=state))

    def region(self, name: str) -> Region:
        """A region as it was taken last, an empty one if it never was; times run on."""
        with self._lock:
            found = self._regions.get(name)
            return Region(name=name) if found is None else self._by_now(found)

    def finish(self) -> Warmup | None:
        """Ends the warm-up and tells of it once more; None if nothing was to be compiled."""
        with self._lock:
            if self._over.is_set() or not self._regions:
                self._over.set()
                return None
            for name, known in self._regions.items():
                self._regions[name] = self._ended(known)
            self._over.set()
            return self._say()

    def _ended(self, region: Region) -> Region:
        """Returns the final state of a region; one that was not begun stays as it is."""
        state = RegionState.DONE if region.ready else RegionState.WAITING
        return self._by_now(region).replace(state=state)

    def _by_now(self, region: Region) -> Region:
        if region.state is not RegionState.COMPILING:
            return region
        since_s = time.monotonic() - self._taken_s[region.name]
        return region.replace(elapsed_s=region.elapsed_s + since_s)

    def _say(self) -> Warmup:
        self._told_s = time.monotonic()
        warmup = Warmup(
            cached=self._cached,
            regions=tuple(self._by_now(known) for known in self._regions.values()),
            elapsed_s=self._told_s - self._started_s,
            estimated_s=self._estimates.get(TOTAL),
            finished=self._over.is_set(),
        )
        self._tell(warmup)
        return warmup

    def _tick(self) -> None:
        while not self._over.wait(_TICK_S):
            with self._lock:
                if not self._over.is_set():
                    self._say()


@contextmanager
def following(pipeline: Pipeline, progress: WarmupProgress) -> Iterator[None]:
    """Reports what torch and Triton compile in this process while the context is open.

    Args:
        pipeline: Its transformer, text encoder and VAE are told apart; all that is to be compiled
            was marked for it before (``module.compile()`` or ``torch.compile``).
        progress: Takes the regions.
    """
    follower = _Follower(pipeline, progress)
    for found in compiled_regions(pipeline):
        progress.take(found)
    callback_handler.register_start_callback(follower.begin)
    callback_handler.register_end_callback(follower.end)
    try:
        with _hearing_triton(progress):
            yield
    finally:
        follower.stop()
        with suppress(ValueError):  # torch.compiler.reset() has removed them
            callback_handler.remove_start_callback(follower.begin)
            callback_handler.remove_end_callback(follower.end)


@contextmanager
def _hearing_triton(progress: WarmupProgress) -> Iterator[None]:
    """Counts the kernels of this package that Triton compiles or finds in its cache.

    Inductor's are part of its graphs. Nothing is imported: a pipeline that runs kernels of ours
    has imported Triton already.
    """
    knobs: Any = sys.modules.get("triton.knobs")
    if knobs is None:
        yield
        return

    def hear(*, src: Any, times: Any, cache_hit: bool, **_details: Any) -> None:
        module = getattr(getattr(src, "fn", None), "module", "") or ""
        if module.startswith(_OUR_KERNELS):
            made = {"from_cache": 1} if cache_hit else {"compiled": 1}
            progress.add(_TRITON_KERNELS, **made, elapsed_s=times.total / 1e6)

    before, knobs.compilation.listener = knobs.compilation.listener, hear
    try:
        yield
    finally:
        knobs.compilation.listener = before


def compiled_regions(pipeline: Pipeline) -> list[Region]:
    """The parts of a pipeline that ``torch.compile`` will compile at their first call."""
    return [
        Region(name=name, found=len(modules), graphs=len({type(module) for module in modules}))
        for part, name in _named_parts(pipeline)
        if (modules := _compiled_modules(part))
    ]


def _named_parts(pipeline: Pipeline) -> Iterator[tuple[nn.Module, str]]:
    for attribute, name in _PARTS:
        part = getattr(pipeline, attribute, None)
        if isinstance(part, nn.Module):
            blocks = name in _IN_BLOCKS and _compiled_modules(part) and not _is_compiled(part)
            yield part, f"{name} blocks" if blocks else name


def _compiled_modules(part: nn.Module) -> list[nn.Module]:
    return [module for module in part.modules() if _is_compiled(module)]


def _is_compiled(module: nn.Module) -> bool:
    return isinstance(module, OptimizedModule) or module._compiled_call_impl is not None


class _Follower:
    """Turns torch's callbacks and counters into regions."""

    def __init__(self, pipeline: Pipeline, progress: WarmupProgress) -> None:
        self._progress = progress
        self._names = {id(m): name for part, name in _named_parts(pipeline) for m in part.modules()}
        self._name = _OTHER
        self._before = cache_use()
        self._tunings = _tunings()
        self._hears_tuning = False
        self._stopped = False

    def begin(self, args: CallbackArgs) -> None:
        """A compilation begins, on the thread that does it."""
        captures = args.callback_trigger is CallbackTrigger.CUDAGRAPH_RECORDING
        self._name = _CUDA_GRAPHS if captures else self._calling_part()
        self._before = cache_use()
        self._listen_to_tuning()
        self._progress.take(self._now(state=RegionState.COMPILING))

    def end(self, args: CallbackArgs) -> None:
        """The compilation ends, well or not."""
        found = cache_use()
        from_cache = found.hits - self._before.hits
        compiled = found.misses - self._before.misses
        if args.callback_trigger is CallbackTrigger.CUDAGRAPH_RECORDING:
            from_cache, compiled = 0, 1
        before = self._now()
        made = {
            "compiled": before.compiled + compiled,
            "from_cache": before.from_cache + from_cache,
        }
        region = before.replace(**made)
        state = RegionState.DONE if region.is_complete else RegionState.WAITING
        self._progress.take(region.replace(state=state))

    def stop(self) -> None:
        """From here on nothing is heard: torch offers no way to take one listener out."""
        self._stopped = True

    def _now(self, **changes: object) -> Region:
        return self._progress.region(self._name).replace(**changes)

    def _calling_part(self) -> str:
        """The region of the innermost module on the call stack that belongs to one."""
        frame = sys._getframe()
        while frame.f_back is not None:
            frame = frame.f_back
            if frame.f_code is _MODULE_CALL:
                name = self._names.get(id(frame.f_locals["self"]))
                if name is not None:
                    return name
        return _OTHER

    def _listen_to_tuning(self) -> None:
        # Only now: the import takes a second, and this compilation makes it in any case.
        if not self._hears_tuning:
            from torch._inductor.select_algorithm import add_feedback_saver

            add_feedback_saver(self._tuned)
            self._hears_tuning = True

    def _tuned(self, timings: Mapping[Any, float], *_details: object) -> None:
        """A choice was made; timings that come from a file were counted by who measured them."""
        tunings = _tunings()
        if not self._stopped and tunings > self._tunings:
            autotuned = self._progress.region(self._name).autotuned + len(timings)
            self._progress.take(self._now(autotuned=autotuned))
        self._tunings = tunings


_MODULE_CALL: Final = nn.Module._wrapped_call_impl.__code__


def _tunings() -> int:
    return int(counters["inductor"]["select_algorithm_autotune"])
