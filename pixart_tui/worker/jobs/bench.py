"""A benchmark run: one child process after another, its figures into the journal as they land."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pixart_tui.caches.compile_cache import CompileCache
from pixart_tui.caches.compile_places import working_root
from pixart_tui.caches.warmup_times import WarmupTimes
from pixart_tui.domain.benchmarks.rows import BenchCase, BenchRow, RowStatus
from pixart_tui.domain.benchmarks.warmup import Warmup
from pixart_tui.domain.errors import PixartTuiError, RequestError, WorkError
from pixart_tui.domain.events import (
    ArtifactWritten,
    BenchPlanned,
    BenchRowUpdated,
    Event,
    Noticed,
    StageChanged,
    WarmupProgressed,
)
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.runs.run import Run
from pixart_tui.worker.bench.messages import (
    CallTimed,
    CaseFailed,
    CaseSpec,
    Described,
    FiguresFound,
    ImageWritten,
    Message,
    PaceTold,
    PhaseEntered,
    Purpose,
    WarmupSeen,
)
from pixart_tui.worker.bench.pool import Pool
from pixart_tui.worker.bench.process import answers, case_environment
from pixart_tui.worker.bench.report import write_partial, write_report
from pixart_tui.worker.bench.rows import (
    BASELINE,
    is_kept,
    plan_rows,
    purposes,
    quant_types,
    wanted_choice,
)


def run_bench(
    run: Run,
    request: BenchRequest,
    emit: Callable[[Event], None],
    check: Callable[[], None],
    tell_pace: Callable[[str, float], None] = lambda _label, _pace: None,
) -> None:
    """Measures the rows that the journal does not hold yet, then writes the results.

    Args:
        run: Its snapshot holds what earlier attempts measured.
        request: What to measure.
        emit: Takes each event, in order.
        check: Called often; may raise to give up. The child process is dead afterwards.
        tell_pace: Takes a row's label and its steps per second of this moment, for viewers.

    Raises:
        RequestError: The model, the quant type or the layers' file cannot be used, or there is no
            compile cache to start with.
        WorkError: The baseline or another row failed, or the results cannot be written.
    """
    wanted_choice(request)  # a file that cannot be read is refused before anything starts
    cache = CompileCache.of(request.device)
    if request.warm_cache:
        cache.require()
    with _scratch(run) as scratch:
        bench = _Bench(run, request, cache, scratch, emit, check, tell_pace)
        bench.measure()
    rows = tuple(bench.rows.values())
    write_report(run, request, bench.planned, rows, emit)
    _tell_failed(run, rows)


def _tell_failed(run: Run, rows: tuple[BenchRow, ...]) -> None:
    """Fails unless every row was measured; measured rows are written first."""
    failed = [row for row in rows if row.status is RowStatus.FAILED]
    if failed:
        raise WorkError(
            f"{len(failed)} of {len(rows)} rows failed",
            cause=f"{failed[0].label}: {failed[0].error}",
            next_step=f"measure them again with: pixart-tui resume {run.id}",
        )


@contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    """An empty directory on this machine; what a killed attempt left in it is gone.

    Not in the run's own directory, which may be on NFS: that would time the network.
    """
    directory = working_root() / f"bench-{run.id}"
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
        cache: Where the compilers' work is kept for later runs.
        scratch: A directory for caches and messages.
        emit: Takes each event.
        check: May raise to give up.
        tell_pace: Takes a row's speed of this moment.
        rows: The cases and what is known of them; empty until a child has described them.
    """

    run: Run
    request: BenchRequest
    cache: CompileCache
    scratch: Path
    emit: Callable[[Event], None]
    check: Callable[[], None]
    tell_pace: Callable[[str, float], None]
    rows: dict[BenchCase, BenchRow] = field(default_factory=dict)
    _pools: dict[BenchCase, Pool] = field(default_factory=lambda: defaultdict(Pool))
    _plan: BenchPlanned | None = None

    @property
    def planned(self) -> BenchPlanned:
        """Returns the plan that a child described."""
        if self._plan is None:
            raise WorkError("the benchmark's process ended without saying what it would measure")
        return self._plan

    def measure(self) -> None:
        """Measures what is missing, the baseline first; in each round the rows take turns.

        A row is done after its last round. One that an attempt left before that begins anew, as
        its rounds would else lie hours apart.
        """
        if self._has_baseline():
            self._ask(Purpose.DESCRIBE, BASELINE)
        else:
            self._measure_baseline()
        todo = [case for case, row in self.rows.items() if row.status is not RowStatus.DONE]
        for number in range(self.request.rounds):
            for case in todo:
                if not (case == BASELINE and number == 0):
                    self._measure_case(case, number)

    def _has_baseline(self) -> bool:
        row = self.run.snapshot.benchmark.rows.get(BASELINE.label)
        done = row is not None and row.status is RowStatus.DONE
        return done and self._image(BASELINE).exists()

    def _measure_case(self, case: BenchCase, number: int) -> None:
        """One round of a row; a row that failed stays so."""
        row = self.rows[case]
        if number and row.status is RowStatus.FAILED:
            return
        warm = self.request.warm_cache
        asked = purposes(row, cold=self.request.cold or warm)
        try:
            if number == 0 and (Purpose.WARM in asked or (warm and Purpose.CACHE in asked)):
                self.cache.copy_to(self._caches(case))
            for purpose in asked[-1:] if number or warm else asked:
                self._update(case)
                self._ask(purpose, case, first_round=number == 0)
            if warm:
                self._refuse_useless_cache(case)
        except PixartTuiError as error:
            self._update(case, RowStatus.FAILED, _reason(error))
        self._end_round(case, number)

    def _measure_baseline(self) -> None:
        """Its process also describes the benchmark, which spares loading the model once more."""
        try:
            self._ask(Purpose.RUN, BASELINE)
        except PixartTuiError as error:
            if BASELINE in self.rows:
                self._update(BASELINE, RowStatus.FAILED, _reason(error))
            raise
        self._end_round(BASELINE, 0)

    def _end_round(self, case: BenchCase, number: int) -> None:
        row = self.rows[case]
        last = number + 1 == self.request.rounds
        if row.status is not RowStatus.FAILED:
            self._update(case, RowStatus.DONE if last else RowStatus.RUNNING)
        if self.rows[case].status is RowStatus.DONE:
            self._keep_caches(case)
        if last or self.rows[case].status is RowStatus.FAILED:
            shutil.rmtree(self._caches(case), ignore_errors=True)
        write_partial(self.run, self.request, self.planned, tuple(self.rows.values()))

    def _refuse_useless_cache(self, case: BenchCase) -> None:
        """A start that found nothing was no start with a cache."""
        found = self.rows[case].figures
        if found.cache_misses and not found.cache_hits:
            self._pools[case].cached_start_counts = False
            raise RequestError(
                "the compile cache holds nothing for this row",
                cause=f"graphs that had to be compiled: {found.cache_misses}",
                next_step="measure it once without --warm-cache",
            )

    def _keep_caches(self, case: BenchCase) -> None:
        """Keeps compiled code for later runs; no figure is lost where that fails."""
        try:
            self.cache.add(self._caches(case))
        except WorkError as error:
            print(*error.lines(), sep="\n", file=sys.stderr)  # noqa: T201 - the run's log
            detail = f"{case.label}: {error.title}"
            self.emit(StageChanged(stage=Stage.BENCHMARKING, detail=detail))

    def _ask(self, purpose: Purpose, case: BenchCase, *, first_round: bool = True) -> None:
        """Runs one child to its end; the image is made in the first round.

        Raises:
            PixartTuiError: What the child said that stood in its way.
        """
        environment = case_environment(self._caches(case), case.deployment.memory)
        spec = self._spec(purpose, case, with_image=first_round)
        for message in answers(spec, environment, self.check):
            if isinstance(message, PaceTold):
                self.tell_pace(case.label, message.iterations_per_s)
            else:
                self._take(message, case, purpose)

    def _take(self, message: Message, case: BenchCase, purpose: Purpose) -> None:
        match message:
            case Described() if self._plan is None:
                self._plan_rows(message)
            case PhaseEntered():
                self._enter(case, message)
            case WarmupSeen():
                self._show_warmup(case, purpose, message.warmup)
            case CallTimed():
                self._pools[case].calls.append(message)
                self._update(case)
            case FiguresFound():
                self._pools[case].found.append(message.figures)
                self._update(case)
            case ImageWritten():
                self.emit(self._artifact(case, Path(message.path)))
            case CaseFailed():
                raise message.failure.as_error()

    def _plan_rows(self, found: Described) -> None:
        for text in found.notices:
            self.emit(Noticed(text=text))
        before = self.run.snapshot
        old = before.benchmark.plan
        same = old is not None and (old.machine, old.versions) == (found.machine, found.versions)
        known = before.benchmark.rows if same else {}
        planned = plan_rows(self.request, found, self.run.paths.artifacts.resolve())
        for case, row in planned.items():
            kept = known.get(row.label)
            self.rows[case] = kept if kept is not None and is_kept(row, kept) else row
        rows = tuple(self.rows.values())
        self._plan = BenchPlanned(machine=found.machine, versions=found.versions, rows=rows)
        # Viewers keep rows that they have seen; these are not what they were.
        outdated = [row for row in rows if before.benchmark.rows.get(row.label, row) != row]
        self.emit(self._plan)
        for row in outdated:
            self.emit(BenchRowUpdated(row=row))

    def _enter(self, case: BenchCase, phase: PhaseEntered) -> None:
        detail = f"{case.label}: {phase.phase}"
        self.emit(
            StageChanged(
                stage=Stage.BENCHMARKING, detail=detail, done=phase.done, total=phase.total
            )
        )

    def _show_warmup(self, case: BenchCase, purpose: Purpose, warmup: Warmup) -> None:
        self.emit(WarmupProgressed(label=case.label, warmup=warmup))
        if warmup.finished:
            problem = self._times.store(self._warmup_key(case, purpose), warmup.seconds)
            if problem:
                print(problem, file=sys.stderr)  # noqa: T201 - the run's log

    @property
    def _times(self) -> WarmupTimes:
        return WarmupTimes(self.cache.kind)

    def _estimates(self, purpose: Purpose, case: BenchCase) -> dict[str, float]:
        if case not in self.rows:  # nothing is known of the baseline yet, which compiles nothing
            return {}
        return dict(self._times.of(self._warmup_key(case, purpose)))

    def _warmup_key(self, case: BenchCase, purpose: Purpose) -> str:
        """Warm-ups with the same key take about the same time on machines of a kind."""
        row = self.rows[case].case
        what = f"{row.compiler_config} {case.deployment.model_dump_json()}"
        digest = hashlib.sha256(what.encode()).hexdigest()[:12]
        size = f"{row.width}x{row.height}"
        return f"{row.model} {size} {row.threads} {case.label} {digest} {purpose}"

    def _update(
        self, case: BenchCase, status: RowStatus = RowStatus.RUNNING, error: str = ""
    ) -> None:
        row, figures = self.rows[case], self._pools[case].merged()
        self.rows[case] = row.replace(status=status, error=error, figures=figures)
        self.emit(BenchRowUpdated(row=self.rows[case]))

    def _artifact(self, case: BenchCase, path: Path) -> ArtifactWritten:
        row = self.rows[case].case
        return ArtifactWritten(
            role=Role.BASELINE_IMAGE if case == BASELINE else Role.BENCH_IMAGE,
            path=str(path.relative_to(self.run.paths.directory)),
            prompt=row.prompt,
            seed=row.seed,
            label=row.label,
        )

    def _spec(self, purpose: Purpose, case: BenchCase, *, with_image: bool) -> CaseSpec:
        return CaseSpec(
            purpose=purpose,
            request=self.request,
            case=case,
            quant_types=quant_types(self.request) if self._plan is None else (),
            messages=str(self.scratch / f"{case.label}.{purpose}.jsonl"),
            image=str(self._image(case)) if with_image else None,
            reference=None if case == BASELINE else str(self._image(BASELINE)),
            estimates=self._estimates(purpose, case),
            parent_pid=os.getpid(),
        )

    def _image(self, case: BenchCase) -> Path:
        return self.run.paths.artifacts.resolve() / f"bench-{case.label}.png"

    def _caches(self, case: BenchCase) -> Path:
        return self.scratch / f"caches-{case.label}"


def _reason(error: PixartTuiError) -> str:
    return ": ".join(part for part in (error.title, error.cause) if part)
