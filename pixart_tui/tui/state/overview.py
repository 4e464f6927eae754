"""Immutable values of everything that the dashboard shows at one moment."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from pixart_tui.domain.benchmarks.rows import BenchRow
from pixart_tui.domain.events import Failure, WarmupProgressed
from pixart_tui.domain.files.sidecar import SampleRecord
from pixart_tui.domain.live import Live
from pixart_tui.domain.profiles.looks import Look
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.domain.provenance import Machine
from pixart_tui.domain.requests import AnyRequest, ProfileRequest
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import Verification
from pixart_tui.reporting.step_shares import StepShares
from pixart_tui.runs.results.pairs import Pair
from pixart_tui.runs.run import RunState

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics


@dataclass(frozen=True, slots=True)
class RunView:
    """One run in the list, and the head of its own tab.

    Attributes:
        id: The run's id.
        state: Where it is in its life.
        request: What was asked, None where ``request.json`` cannot be read.
        problem: What cannot be read, in words; empty if all is well.
        done: Samples, layers or cases that are done.
        total: Samples, layers or cases, 0 while it is not known.
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
        """Returns the kind of the request: ``profile``, ``bench``; ``?`` if it cannot be read."""
        return self.request.kind if self.request else "?"

    @property
    def model(self) -> str:
        """The model and its LoRA, ``?`` where the request cannot be read."""
        return self.request.model_words if self.request else "?"

    @property
    def unit(self) -> str:
        """Returns the unit of a profile's work: ``samples`` or ``layers``."""
        return self.request.unit if isinstance(self.request, ProfileRequest) else "layers"

    @property
    def fraction(self) -> float:
        """How much of it is done, 0 to 1."""
        return self.done / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """A profile's scores under one quant type.

    Attributes:
        profile: The profile.
        scores: Every layer's score, in the model's order.
        noise: The measurement noise, None where it is not known.
        samples: What the adjoint method found of each sample.
        effects: What it found of the layers and calls; None before the first sample.
        steps: The part of each call in the layers' effects; None where there are none.
    """

    profile: Profile
    scores: tuple[LayerScore, ...]
    noise: float | None = None
    samples: tuple[SampleRecord, ...] = ()
    effects: EffectStatistics | None = field(default=None, compare=False)
    steps: StepShares | None = None

    @property
    def quant_type(self) -> str:
        """The quant type."""
        return self.profile.conditions.quant_type


@dataclass(frozen=True, slots=True)
class ProfileView:
    """A profile run with its measurements; scores may be some seconds behind.

    Attributes:
        run: The run.
        figures: What is known under each quant type; empty until it is planned.
        place: Which of them is shown.
        floor: The bf16 floor.
        look: The last decision of the adjoint method.
        memory: What had to be done to need less memory, in words; empty for nothing.
        machine: Where it is measured.
        images_per_s: Images that the exhaustive method makes in a second.
        pairs: The pictures that the run has kept.
        live: What the device does; None once the run has ended.
    """

    run: RunView
    figures: tuple[Figures, ...] = ()
    place: int = 0
    floor: float | None = None
    look: Look | None = None
    memory: str = ""
    machine: Machine | None = None
    images_per_s: float | None = None
    pairs: tuple[Pair, ...] = ()
    live: Live | None = None

    @property
    def shown(self) -> Figures | None:
        """Returns the scores under the quant type that is shown."""
        return self.figures[self.place] if self.figures else None

    @property
    def profile(self) -> Profile | None:
        """The profile that is shown."""
        return self.shown.profile if self.shown else None

    @property
    def scores(self) -> tuple[LayerScore, ...]:
        """Its scores."""
        return self.shown.scores if self.shown else ()

    @property
    def noise(self) -> float | None:
        """Its measurement noise."""
        return self.shown.noise if self.shown else None

    @property
    def quant_types(self) -> tuple[str, ...]:
        """The quant types, the first one first."""
        return tuple(figures.quant_type for figures in self.figures)

    @property
    def scores_by_type(self) -> dict[str, tuple[LayerScore, ...]]:
        """Quant type to its scores."""
        return {figures.quant_type: figures.scores for figures in self.figures}

    def showing(self, quant_type: str | None) -> ProfileView:
        """The view with a quant type shown; the first one where there is none of that name."""
        types = self.quant_types
        place = types.index(quant_type) if quant_type in types else 0
        return self if place == self.place else replace(self, place=place)

    def only(self, quant_type: str | None) -> ProfileView:
        """The view as if nothing but that quant type were measured; all where it is None."""
        if quant_type not in self.quant_types:
            return self
        shown = self.showing(quant_type).shown
        return replace(self, figures=(shown,) if shown else (), place=0)


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
    """A run with the pictures that it has kept so far, in pairs."""

    run: RunView
    pairs: tuple[Pair, ...] = ()


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything that the tabs show.

    Attributes:
        now_s: The clock when it was read.
        runs: All runs, newest first.
        profile: The profile that is open.
        bench: The benchmark that is open.
        verifications: Those of the profile that is open, newest first.
        compare: The run whose pictures are open.
        problem: Why the runs cannot be read; empty if all is well.
        is_whole: Whether no run is left that has not been read yet.
    """

    now_s: float
    runs: tuple[RunView, ...] = ()
    profile: ProfileView | None = None
    bench: BenchView | None = None
    verifications: tuple[VerifyView, ...] = ()
    compare: CompareView | None = None
    problem: str = ""
    is_whole: bool = True

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
