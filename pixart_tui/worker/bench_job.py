"""A benchmark run: one child process after another, its figures into the journal as they land."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pixart_tui.domain.benchmark import BenchCase, BenchRow, RowStatus
from pixart_tui.domain.errors import PixartTuiError, RequestError, WorkError
from pixart_tui.domain.events import (
    ArtifactWritten,
    BenchPlanned,
    BenchRowUpdated,
    Event,
    Failure,
    StageChanged,
)
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.runs.paths import locks_root
from pixart_tui.runs.run import Run
from pixart_tui.worker.bench_messages import (
    CaseFailed,
    CaseSpec,
    Described,
    FiguresFound,
    ImageWritten,
    Message,
    PhaseEntered,
    Purpose,
)
from pixart_tui.worker.bench_process import answers, case_environment
from pixart_tui.worker.bench_report import write_report
from pixart_tui.worker.bench_rows import BASELINE, is_kept, plan_rows, purposes, wanted_layers

_STAGE: Final = "benchmarking"


def run_bench(
    run: Run, request: BenchRequest, emit: Callable[[Event], None], check: Callable[[], None]
) -> None:
    """Measures the rows that the journal does not hold yet, then writes the results.

    Args:
        run: Its snapshot holds what earlier attempts measured.
        request: What to measure.
        emit: Takes each event, in order.
        check: Called often; may raise to give up. The child process is dead afterwards.

    Raises:
        RequestError: The model, the quant type or the layers' file cannot be used.
        WorkError: The baseline or another row failed, or the results cannot be written.
    """
    wanted = wanted_layers(request)
    with _scratch(run) as scratch:
        bench = _Bench(run, request, wanted, scratch, emit, check)
        bench.measure()
    rows = tuple(bench.rows.values())
    write_report(run, request, bench.planned, rows, emit)
    _tell_failed(run, rows)


def _tell_failed(run: Run, rows: tuple[BenchRow, ...]) -> None:
    """What was measured is written; the rest must not look like a success."""
    failed = [row for row in rows if row.status is RowStatus.FAILED]
    if failed:
        raise WorkError(
            f"{len(failed)} of {len(rows)} rows failed",
            f"{failed[0].label}: {failed[0].error}",
            f"measure them again with: pixart-tui resume {run.id}",
        )


@contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    """An empty directory on this machine; what a killed attempt left in it is gone.

    Not in the run's own directory, which may be on NFS: that would time the network.
    """
    directory = locks_root() / f"bench-{run.id}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@dataclass
class _Bench:
    """A benchmark under way.

    Attributes:
        run: The run.
        request: What was asked.
        wanted: Layers that the request's file chose.
        scratch: A directory for caches and messages.
        emit: Takes each event.
        check: May raise to give up.
        rows: The cases and what is known of them; empty until a child has described them.
    """

    run: Run
    request: BenchRequest
    wanted: tuple[str, ...] | None
    scratch: Path
    emit: Callable[[Event], None]
    check: Callable[[], None]
    rows: dict[BenchCase, BenchRow] = field(default_factory=dict)
    _plan: BenchPlanned | None = None

    @property
    def planned(self) -> BenchPlanned:
        """What a child said would be measured."""
        if self._plan is None:
            raise WorkError("the benchmark's process ended without saying what it would measure")
        return self._plan

    def measure(self) -> None:
        """Measures what is missing, the baseline first."""
        if self._has_baseline():
            self._ask(Purpose.DESCRIBE, BASELINE)
        else:
            self._measure_baseline()
        for case, row in list(self.rows.items()):
            if row.status is not RowStatus.DONE:
                self._measure_case(case)

    def _has_baseline(self) -> bool:
        row = self.run.snapshot.bench_rows.get(BASELINE.label)
        done = row is not None and row.status is RowStatus.DONE
        return done and self._image(BASELINE).exists()

    def _measure_case(self, case: BenchCase) -> None:
        if case == BASELINE:
            self._measure_baseline()
            return
        self._update(case, status=RowStatus.RUNNING)
        try:
            for purpose in purposes(self.rows[case]):
                self._ask(purpose, case)
        except PixartTuiError as error:
            self._update(case, status=RowStatus.FAILED, error=_reason(error))
        else:
            self._update(case, status=RowStatus.DONE)
        finally:
            shutil.rmtree(self._caches(case), ignore_errors=True)

    def _measure_baseline(self) -> None:
        """Its process also describes the benchmark, which spares loading the model once more."""
        try:
            self._ask(Purpose.RUN, BASELINE)
        except PixartTuiError as error:
            if BASELINE in self.rows:
                self._update(BASELINE, status=RowStatus.FAILED, error=_reason(error))
            raise
        self._update(BASELINE, status=RowStatus.DONE)

    def _ask(self, purpose: Purpose, case: BenchCase) -> None:
        """Runs one child to its end.

        Raises:
            PixartTuiError: What the child said that stood in its way.
        """
        environment = case_environment(self._caches(case))
        for message in answers(self._spec(purpose, case), environment, self.check):
            self._take(message, case)

    def _take(self, message: Message, case: BenchCase) -> None:
        match message:
            case Described() if self._plan is None:
                self._plan_rows(message)
            case PhaseEntered():
                self._enter(case, message)
            case FiguresFound():
                self._update(case, **message.known())
            case ImageWritten():
                self.emit(self._artifact(case, Path(message.path)))
            case CaseFailed():
                raise _error(message.failure)

    def _plan_rows(self, found: Described) -> None:
        before = self.run.snapshot
        old = before.bench_plan
        same = old is not None and (old.machine, old.versions) == (found.machine, found.versions)
        known = before.bench_rows if same else {}
        for case, row in plan_rows(self.request, found).items():
            kept = known.get(row.label)
            self.rows[case] = kept if kept is not None and is_kept(row, kept) else row
        rows = tuple(self.rows.values())
        self._plan = BenchPlanned(machine=found.machine, versions=found.versions, rows=rows)
        # Viewers keep rows that they have seen; these are not what they were.
        outdated = [row for row in rows if before.bench_rows.get(row.label, row) != row]
        self.emit(self._plan)
        for row in outdated:
            self.emit(BenchRowUpdated(row=row))

    def _enter(self, case: BenchCase, phase: PhaseEntered) -> None:
        detail = f"{case.label}: {phase.phase}"
        self.emit(StageChanged(stage=_STAGE, detail=detail, done=phase.done, total=phase.total))

    def _update(self, case: BenchCase, **changes: object) -> None:
        status = {"status": RowStatus.RUNNING}
        self.rows[case] = self.rows[case].model_copy(update=status | changes)
        self.emit(BenchRowUpdated(row=self.rows[case]))

    def _artifact(self, case: BenchCase, path: Path) -> ArtifactWritten:
        row = self.rows[case]
        return ArtifactWritten(
            role="baseline_image" if case == BASELINE else "bench_image",
            path=str(path.relative_to(self.run.paths.directory)),
            prompt=row.prompt,
            seed=row.seed,
            label=row.label,
        )

    def _spec(self, purpose: Purpose, case: BenchCase) -> CaseSpec:
        return CaseSpec(
            purpose=purpose,
            request=self.request,
            case=case,
            wanted_layers=self.wanted,
            messages=str(self.scratch / f"{case.label}.{purpose}.jsonl"),
            image=str(self._image(case)),
            reference=None if case == BASELINE else str(self._image(BASELINE)),
            parent_pid=os.getpid(),
        )

    def _image(self, case: BenchCase) -> Path:
        return self.run.paths.artifacts.resolve() / f"bench-{case.label}.png"

    def _caches(self, case: BenchCase) -> Path:
        return self.scratch / f"caches-{case.label}"


def _error(failure: Failure) -> PixartTuiError:
    kind = RequestError if failure.exit_code == RequestError.exit_code else WorkError
    return kind(failure.title, failure.cause, failure.next_step)


def _reason(error: PixartTuiError) -> str:
    return ": ".join(part for part in (error.title, error.cause) if part)
