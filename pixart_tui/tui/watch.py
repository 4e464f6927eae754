"""Reading the runs, again and again, at a cost that grows with what is new."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from pixart_tui.domain.events import StageChanged
from pixart_tui.runs.paths import runs_root
from pixart_tui.runs.run import Run, RunState
from pixart_tui.tui import wording
from pixart_tui.tui.board import BenchView, Board, ProfileView, RunView, VerifyView

_LOG_LINES: Final = 6
_KEPT: Final = ("profile", "bench", "selection", "output_image")
_Signature = tuple[tuple[int, int], ...]


@dataclass
class _Watched:
    """A run, and what its files looked like when it was last read."""

    run: Run
    signature: _Signature = ()
    state: RunState = RunState.QUEUED
    log_tail: tuple[str, ...] = ()
    profile_version: tuple[int, int, bool] = (-1, 0, False)
    profile_view: ProfileView | None = None


@dataclass
class RunWatch:
    """Follows all runs. It is used by one thread at a time.

    Attributes:
        clock: Unix time in seconds.
    """

    clock: Callable[[], float]
    _watched: dict[str, _Watched] = field(default_factory=dict)

    def read(self, profile_id: str | None = None, bench_id: str | None = None) -> Board:
        """The board by now.

        Args:
            profile_id: The profile to open; the newest one if None.
            bench_id: The benchmark to open; the newest one if None.
        """
        now_s = self.clock()
        try:
            self._take_in()
        except OSError as error:
            return Board(now_s, problem=str(error))
        runs = sorted(
            (_run_view(watched, now_s) for watched in self._watched.values()),
            key=lambda view: (-view.created_s, view.id),
        )
        return Board(
            now_s,
            tuple(runs),
            self._profile_view(_opened(runs, profile_id, "profile")),
            self._bench_view(_opened(runs, bench_id, "bench")),
            self._verify_view(_opened(runs, None, "verify")),
        )

    def _take_in(self) -> None:
        root = runs_root()
        entries = {path.name: path for path in root.iterdir()} if root.is_dir() else {}
        for gone in self._watched.keys() - entries.keys():
            del self._watched[gone]
        for name, path in entries.items():
            if path.is_dir():
                self._follow(name, path)

    def _follow(self, name: str, path: Path) -> None:
        watched = self._watched.get(name)
        if watched is None or watched.run.record is None:
            watched = self._watched[name] = _Watched(Run.open(path))
        signature = _signature(watched.run)
        if watched.state.is_finished and signature == watched.signature:
            return
        watched.signature = signature
        watched.run.poll()
        watched.state = watched.run.state()
        in_trouble = watched.state in (RunState.FAILED, RunState.STALE)
        watched.log_tail = tuple(watched.run.log_tail(_LOG_LINES)) if in_trouble else ()

    def _profile_view(self, view: RunView | None) -> ProfileView | None:
        if view is None:
            return None
        watched = self._watched[view.id]
        snapshot = watched.run.snapshot
        version = snapshot.known_figures
        previous = watched.profile_view
        if previous is not None and version == watched.profile_version and previous.profile:
            return replace(previous, run=view, batch=snapshot.batch)
        watched.profile_version = version
        watched.profile_view = _measured_view(view, watched.run)
        return watched.profile_view

    def _bench_view(self, view: RunView | None) -> BenchView | None:
        if view is None:
            return None
        snapshot = self._watched[view.id].run.snapshot
        plan = snapshot.bench_plan
        return BenchView(
            run=view,
            rows=tuple(snapshot.bench_rows.values()),
            machine=plan.machine if plan else None,
            warmup=None if view.state.is_finished else snapshot.warming_up,
        )

    def _verify_view(self, view: RunView | None) -> VerifyView | None:
        if view is None or view.request is None:
            return None
        found = self._watched[view.id].run.snapshot.verified
        return VerifyView(view, view.request.output or "", found.verification if found else None)


def _measured_view(view: RunView, run: Run) -> ProfileView:
    profile = run.snapshot.profile
    if profile is None or run.snapshot.planned is None:
        return ProfileView(view)
    return ProfileView(
        run=view,
        profile=profile,
        scores=profile.scores(),
        floor=profile.deployment_floor,
        noise=profile.measurement_noise,
        machine=run.snapshot.planned.machine,
        images_per_s=run.snapshot.images_per_s,
        batch=run.snapshot.batch,
        cost=run.snapshot.cost,
    )


def _opened(runs: list[RunView], run_id: str | None, kind: str) -> RunView | None:
    if run_id is None:
        return next((view for view in runs if view.kind == kind), None)
    return next((view for view in runs if view.id == run_id), None)


def _run_view(watched: _Watched, now_s: float) -> RunView:
    run, snapshot = watched.run, watched.run.snapshot
    stage = None if watched.state.is_finished else snapshot.stage
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
        stage_detail=_stage_detail(stage) if stage else "",
        failure=snapshot.finished.failure if snapshot.finished else None,
        log_tail=watched.log_tail,
        written=_written(run),
    )


def _stage_detail(stage: StageChanged) -> str:
    """What it does there; how far, unless that is what the whole run's progress says."""
    if stage.stage in ("measuring", "probing") or not stage.total:
        return stage.detail
    return f"{stage.done} of {stage.total}  {stage.detail}"


def _written(run: Run) -> tuple[str, ...]:
    kept = (a.path for a in run.snapshot.artifacts if a.role in _KEPT)
    return tuple(dict.fromkeys(kept))


def _elapsed_s(watched: _Watched, now_s: float) -> float | None:
    snapshot = watched.run.snapshot
    if not snapshot.attempts:
        return None
    end_s = snapshot.last_event_s if watched.state.is_finished else now_s
    return end_s - snapshot.attempt_started_s


def _problem(run: Run) -> str:
    if run.problem:
        return f"request.json cannot be read: {run.problem}"
    if run.journal_problem:
        return f"events.jsonl cannot be read: {run.journal_problem}"
    if run.unreadable_lines:
        lines = wording.count(run.unreadable_lines, "journal line")
        return f"{lines} cannot be read: damaged, or of a newer version"
    return ""


def _signature(run: Run) -> _Signature:
    return tuple(_stamp(path) for path in (run.paths.worker, run.paths.events, run.paths.heartbeat))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0)
    return (status.st_mtime_ns, status.st_size)
