"""What the dashboard shows at one moment, as values that no thread changes any more."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from pixart_tui.domain.benchmark import BenchRow
from pixart_tui.domain.cost import Cost
from pixart_tui.domain.events import BatchChosen, Failure, WarmupProgressed
from pixart_tui.domain.live import Live
from pixart_tui.domain.profile import LayerScore, Profile
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import AnyRequest
from pixart_tui.domain.selecting.verification import Verification
from pixart_tui.domain.selection import Selection
from pixart_tui.runs.pairs import Pair
from pixart_tui.runs.run import RunState


@dataclass(frozen=True, slots=True)
class RunView:
    """One run in the list, and the head of its own tab.

    Attributes:
        id: The run's id.
        state: Where it is in its life.
        request: What was asked, None where ``request.json`` cannot be read.
        problem: What cannot be read, in words; empty if all is well.
        done: Layers or cases that are done.
        total: Layers or cases, 0 while it is not known.
        eta_s: Seconds until it is done, None if unknown.
        elapsed_s: Seconds of the last attempt, None before the first.
        created_s: Unix time of its creation.
        stage: Where the work is; empty if it has not begun or has ended.
        stage_detail: What exactly it does there.
        failure: Why the last attempt failed.
        log_tail: Last lines of the log, only where something went wrong.
        written: Files that stand complete.
    """

    id: str
    state: RunState
    request: AnyRequest | None
    problem: str
    done: int
    total: int
    eta_s: float | None
    elapsed_s: float | None
    created_s: float
    stage: str
    stage_detail: str
    failure: Failure | None
    log_tail: tuple[str, ...]
    written: tuple[str, ...]

    @property
    def kind(self) -> str:
        """What was asked for: ``profile``, ``bench``; ``?`` where the request cannot be read."""
        return self.request.kind if self.request else "?"

    @property
    def model(self) -> str:
        """The model, ``?`` where the request cannot be read."""
        return self.request.model if self.request else "?"

    @property
    def fraction(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.done / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile run with its measurements; ``profile`` is None until it is planned.

    ``batch`` says how many images are made at once and why it is not as many as before; ``pairs``
    are the pictures that the run has kept; ``live`` is None once the run has ended. ``probed`` are
    the layers that the fast method has probed: scores may be some seconds behind.
    """

    run: RunView
    profile: Profile | None = None
    scores: tuple[LayerScore, ...] = ()
    floor: float | None = None
    noise: float | None = None
    machine: Machine | None = None
    images_per_s: float | None = None
    batch: BatchChosen | None = None
    cost: Cost | None = None
    pairs: tuple[Pair, ...] = ()
    live: Live | None = None
    probed: Collection[str] = ()


@dataclass(frozen=True, slots=True)
class BenchView:
    """A benchmark run with its rows; ``live`` is None once it has ended."""

    run: RunView
    rows: tuple[BenchRow, ...] = ()
    machine: Machine | None = None
    warmup: WarmupProgressed | None = None
    live: Live | None = None


@dataclass(frozen=True, slots=True)
class VerifyView:
    """A verification with what it has found.

    Attributes:
        run: The run.
        output: The selection that it writes.
        verification: What came of it, None while it works.
        selection: The selection that was verified, after its repair.
    """

    run: RunView
    output: str
    verification: Verification | None = None
    selection: Selection | None = None


@dataclass(frozen=True, slots=True)
class CompareView:
    """A run with the pictures that it has kept by now, in pairs."""

    run: RunView
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Board:
    """Everything that the tabs show.

    Attributes:
        now_s: The clock when it was read.
        runs: All runs, newest first.
        profile: The profile that is open.
        bench: The benchmark that is open.
        verify: The newest verification.
        compare: The run whose pictures are open.
        problem: Why the runs cannot be read; empty if all is well.
    """

    now_s: float
    runs: tuple[RunView, ...] = ()
    profile: ProfileView | None = None
    bench: BenchView | None = None
    verify: VerifyView | None = None
    compare: CompareView | None = None
    problem: str = ""

    def run(self, run_id: str | None) -> RunView | None:
        """The run with this id."""
        return next((run for run in self.runs if run.id == run_id), None)

    @property
    def open_profile(self) -> str | None:
        """Id of the profile that is open."""
        return self.profile.run.id if self.profile else None

    @property
    def open_bench(self) -> str | None:
        """Id of the benchmark that is open."""
        return self.bench.run.id if self.bench else None

    @property
    def open_compare(self) -> str | None:
        """Id of the run whose pictures are open."""
        return self.compare.run.id if self.compare else None
