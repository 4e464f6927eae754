"""Reading the runs, again and again, at a cost that grows with what is new."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from pixart_tui.domain.events import StageChanged
from pixart_tui.domain.events.roles import RESULTS
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.live import Live
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.score import noise_of
from pixart_tui.reporting.sample_notes import sample_records
from pixart_tui.reporting.step_shares import steps_of
from pixart_tui.runs.live import read_live
from pixart_tui.runs.memory_use import describe_memory
from pixart_tui.runs.paths import RunPaths, runs_root
from pixart_tui.runs.results.pairs import Pair, pairs_of
from pixart_tui.runs.run import OF_REMOVED_METHOD, Run, RunState
from pixart_tui.tui.state.overview import (
    BenchView,
    CompareView,
    Figures,
    Overview,
    ProfileView,
    RunView,
    VerifyView,
)
from pixart_tui.tui.state.requests import verifies

_LOG_LINES: Final = 6
_SCORING_SHARE: Final = 0.02
"""Of a core; where scoring takes longer, it waits before it scores again."""
_SCORING_MOST_S: Final = 5.0
_NEW_RUNS_S: Final = 0.2
"""After so long a reading opens no more runs that are new to it: the screen must not wait."""
_Signature = tuple[tuple[int, int], ...]

if TYPE_CHECKING:
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics, SampleStatistics

Statistics: TypeAlias = "dict[tuple[str, str, int], SampleStatistics]"
"""Quant type, prompt and seed to what the sample says."""


@dataclass
class _Watched:
    """A run, and what its files looked like when it was last read."""

    run: Run
    is_read: bool = False
    signature: _Signature = ()
    state: RunState = RunState.QUEUED
    log_tail: tuple[str, ...] = ()
    profile_version: tuple[int, int, bool] = (-1, 0, False)
    profile_view: ProfileView | None = None
    pairs_version: _Signature | None = None
    pairs: tuple[Pair, ...] = ()
    score_again_s: float = 0.0
    statistics: Statistics = field(default_factory=dict)
    live_stamp: tuple[int, int] = (0, 0)
    live: Live | None = None


@dataclass
class RunWatch:
    """Follows all runs. It is used by one thread at a time.

    Attributes:
        clock: Unix time in seconds.
        first: Ids of runs that the first reading must have, however many there are, and that are
            open until others are asked for.
    """

    clock: Callable[[], float]
    first: Sequence[str] = ()
    _watched: dict[str, _Watched] = field(default_factory=dict)

    def read(
        self,
        profile_id: str | None = None,
        bench_id: str | None = None,
        compare_id: str | None = None,
        *,
        scored: bool = True,
    ) -> Overview:
        """Returns the current overview.

        Args:
            profile_id: The profile to open; the newest one if None.
            bench_id: The benchmark to open; the newest one if None.
            compare_id: The run whose pictures to open; the newest one that has some if None.
            scored: Whether to score the profile that is open, which takes the longest.
        """
        now_s = self.clock()
        try:
            self._take_in()
        except OSError as error:
            return Overview(now_s, problem=str(error))
        runs = sorted(
            (_run_view(watched, now_s) for watched in self._watched.values() if watched.is_read),
            key=lambda view: (-view.created_s, view.id),
        )
        profile = self._opened(runs, profile_id, "profile")
        return Overview(
            now_s,
            tuple(runs),
            self._profile_view(profile) if scored else self._unscored(profile),
            self._bench_view(self._opened(runs, bench_id, "bench")),
            tuple(self._verify_view(run) for run in runs if _is_about(run, profile)),
            self._compare_view(runs, compare_id),
            is_whole=all(watched.is_read for watched in self._watched.values()),
        )

    def _take_in(self) -> None:
        """Follows the runs; of many that are new, the rest waits for the next reading."""
        root = runs_root()
        entries = {path.name: path for path in root.iterdir()} if root.is_dir() else {}
        for gone in self._watched.keys() - entries.keys():
            del self._watched[gone]
        for name, path in entries.items():
            known = self._watched.get(name)
            if (known is None or known.run.record is None) and path.is_dir():
                self._watched[name] = _Watched(
                    Run.open(path), is_read=known is not None and known.is_read
                )
        for watched in self._watched.values():
            if watched.is_read:
                _follow(watched)
        started_s = time.monotonic()
        new = [watched for watched in self._watched.values() if not watched.is_read]
        for watched in sorted(new, key=self._turn):
            if watched.run.id in self.first or time.monotonic() - started_s <= _NEW_RUNS_S:
                _follow(watched)

    def _turn(self, watched: _Watched) -> tuple[bool, float, str]:
        """Those that were asked for first, then the newest."""
        return (watched.run.id not in self.first, -watched.run.created_s, watched.run.id)

    def _opened(self, runs: list[RunView], run_id: str | None, kind: str) -> RunView | None:
        if run_id is not None:
            return next((view for view in runs if view.id == run_id), None)
        found = [view for view in runs if view.kind == kind]
        return next((view for view in found if view.id in self.first), next(iter(found), None))

    def _profile_view(self, view: RunView | None) -> ProfileView | None:
        if view is None:
            return None
        watched = self._watched[view.id]
        snapshot = watched.run.snapshot
        known, pairs = watched.profile_view, self._pairs(view)
        if known is None or not known.profile or _is_outdated(watched):
            started_s = time.thread_time()
            known = watched.profile_view = _measured_view(view, watched.run, watched.statistics)
            watched.profile_version = snapshot.profiling.known_figures
            spent_s = time.thread_time() - started_s
            watched.score_again_s = time.monotonic() + min(
                spent_s / _SCORING_SHARE, _SCORING_MOST_S
            )
        memory, live = describe_memory(snapshot), _live(watched)
        return replace(
            known, run=view, look=snapshot.profiling.look, memory=memory, pairs=pairs, live=live
        )

    def _unscored(self, view: RunView | None) -> ProfileView | None:
        return ProfileView(view, pairs=self._pairs(view)) if view is not None else None

    def _bench_view(self, view: RunView | None) -> BenchView | None:
        if view is None:
            return None
        snapshot = self._watched[view.id].run.snapshot
        plan = snapshot.benchmark.plan
        return BenchView(
            run=view,
            rows=tuple(snapshot.benchmark.rows.values()),
            machine=plan.machine if plan else None,
            warmup=None if view.state.is_finished else snapshot.benchmark.warming_up,
            live=_live(self._watched[view.id]),
        )

    def _verify_view(self, view: RunView) -> VerifyView:
        found = self._watched[view.id].run.snapshot.verification.result
        output = view.request.output or "" if view.request else ""
        if found is None:
            return VerifyView(view, output)
        return VerifyView(view, output, found.verification, found.selection)

    def _compare_view(self, runs: list[RunView], run_id: str | None) -> CompareView | None:
        """The pictures of a run; of the newest that has some where none was asked for."""
        if run_id is not None:
            asked = next((view for view in runs if view.id == run_id), None)
            return CompareView(asked, self._pairs(asked)) if asked else None
        for view in runs:
            if pairs := self._pairs(view):
                return CompareView(view, pairs)
        return None

    def _pairs(self, view: RunView) -> tuple[Pair, ...]:
        watched = self._watched[view.id]
        if watched.pairs_version != watched.signature:
            watched.pairs_version = watched.signature
            watched.pairs = pairs_of(watched.run.snapshot, watched.run.paths.directory)
        return watched.pairs


def _follow(watched: _Watched) -> None:
    watched.is_read = True
    signature = _signature(watched.run)
    if watched.state.is_finished and signature == watched.signature:
        return
    watched.signature = signature
    watched.run.poll()
    watched.state = watched.run.state()
    in_trouble = watched.state in (RunState.FAILED, RunState.STALE)
    watched.log_tail = tuple(watched.run.log_tail(_LOG_LINES)) if in_trouble else ()


def _is_outdated(watched: _Watched) -> bool:
    """Whether new measurements are to be scored: at once, unless that took long a moment ago."""
    if watched.run.snapshot.profiling.known_figures == watched.profile_version:
        return False
    return watched.state.is_finished or time.monotonic() >= watched.score_again_s


def _measured_view(view: RunView, run: Run, statistics: Statistics) -> ProfileView:
    profiles, plan = run.snapshot.profiling.profiles, run.snapshot.profiling.planned
    if plan is None:
        return ProfileView(view)
    return ProfileView(
        run=view,
        figures=tuple(figures_of(profile, statistics) for profile in profiles),
        floor=profiles[0].deployment_floor,
        machine=plan.machine,
        images_per_s=run.snapshot.profiling.images_per_s,
    )


def figures_of(profile: Profile, known: Statistics | None = None) -> Figures:
    """Builds the view of one quant type of a profile.

    Args:
        profile: The profile.
        known: What was worked out of samples before; it is kept up to date.
    """
    effects = _statistics(profile, {} if known is None else known) if profile.effects else None
    scores = profile.scores(effects)
    records, steps = sample_records(profile, effects), steps_of(profile, effects)
    return Figures(profile, scores, noise_of(scores), records, effects, steps)


def _statistics(profile: Profile, known: Statistics) -> EffectStatistics:
    """Returns the statistics of the effects; samples seen before are not computed again."""
    # Only now: the first paint needs no numpy.
    from pixart_tui.domain.profiles.effect_statistics import EffectStatistics, SampleStatistics

    quant_type = profile.conditions.quant_type
    for sample in profile.effects:
        key = (quant_type, sample.prompt, sample.seed)
        if key not in known:
            known[key] = SampleStatistics.of(sample, quant_type)
    found = tuple(known[quant_type, sample.prompt, sample.seed] for sample in profile.effects)
    return EffectStatistics(found, tuple(sample.prompt for sample in profile.effects))


def _live(watched: _Watched) -> Live | None:
    """Returns the live figures of a run; those of a dead worker are dropped."""
    if watched.state is not RunState.RUNNING:
        return None
    path = watched.run.paths.live
    if (stamp := _stamp(path)) != watched.live_stamp:
        watched.live_stamp, watched.live = stamp, read_live(path)
    return watched.live


def _is_about(run: RunView, profile: RunView | None) -> bool:
    return profile is not None and verifies(run.request, profile.request)


def _run_view(watched: _Watched, now_s: float) -> RunView:
    run, snapshot = watched.run, watched.run.snapshot
    stage = None if watched.state.is_finished else _stage(run)
    return RunView(
        id=run.id,
        state=watched.state,
        request=run.record.request if run.record else None,
        problem=_problem(run),
        done=snapshot.done,
        total=snapshot.total,
        eta_s=None if watched.state.is_finished else snapshot.eta_s,
        elapsed_s=_elapsed_s(watched, now_s),
        created_s=run.created_s,
        stage=stage.stage if stage else "",
        stage_detail=stage_detail(stage) if stage else "",
        failure=snapshot.finished.failure if snapshot.finished else None,
        log_tail=watched.log_tail,
        written=_written(run),
    )


def _stage(run: Run) -> StageChanged | None:
    """Where the work is, or that a signal keeps it from going on."""
    if worker := run.stopped_worker():
        return StageChanged(stage=Stage.STOPPED, detail=f"kill -CONT {worker.pid} lets it go on")
    return run.snapshot.stage


def stage_detail(stage: StageChanged) -> str:
    """Returns the stage, with its progress unless the run's progress says the same."""
    if stage.stage == Stage.MEASURING or not stage.total:
        return stage.detail
    return f"{stage.done} of {stage.total}  {stage.detail}"


def _written(run: Run) -> tuple[str, ...]:
    kept = (a.path for a in run.snapshot.artifacts if a.role in RESULTS)
    return tuple(dict.fromkeys(kept))


def _elapsed_s(watched: _Watched, now_s: float) -> float | None:
    snapshot = watched.run.snapshot
    if not snapshot.attempts:
        return None
    end_s = snapshot.last_event_s if watched.state.is_finished else now_s
    return end_s - snapshot.attempt_started_s


def _problem(run: Run) -> str:
    if run.problem == OF_REMOVED_METHOD:
        return run.problem
    if run.problem:
        return f"request.json cannot be read: {run.problem}"
    if run.journal_problem:
        return f"events.jsonl cannot be read: {run.journal_problem}"
    return run.damage


def _changing(paths: RunPaths) -> tuple[Path, ...]:
    return (paths.worker, paths.events, paths.heartbeat, paths.last_word)


def _signature(run: Run) -> _Signature:
    return tuple(_stamp(path) for path in _changing(run.paths))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
