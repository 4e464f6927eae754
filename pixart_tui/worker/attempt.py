"""One attempt at a run: identify, wait for the device, work, and say how it ended."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import assert_never

from pixart_tui.caches.compile_places import compile_environment
from pixart_tui.domain.errors import (
    CancelledError,
    PixartTuiError,
    RequestError,
    WorkError,
    first_line,
)
from pixart_tui.domain.events import AttemptFinished, AttemptStarted, Event, Noticed, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.requests import (
    AnyRequest,
    BenchRequest,
    CompareRequest,
    ExportRequest,
    GenerateRequest,
    ProfileRequest,
    VerifyRequest,
)
from pixart_tui.runs.identity import identify_self
from pixart_tui.runs.journal import JournalWriter, repair_journal
from pixart_tui.runs.last_word import outcome_of, reserve, say
from pixart_tui.runs.own_files import OwnFiles, write_own
from pixart_tui.runs.process.control import ALREADY_WORKED_ON
from pixart_tui.runs.process.device_lock import device_lock, exclusive_run
from pixart_tui.runs.process.heartbeat import heartbeat
from pixart_tui.runs.run import Run
from pixart_tui.worker.context import Check, Emit
from pixart_tui.worker.live import LiveReport, live_report


def work_on(directory: Path) -> int:
    """Works on a run and returns the exit code of its outcome."""
    run = Run.open(directory)
    run.poll()
    with exclusive_run(run) as mine:
        if not mine:
            return ALREADY_WORKED_ON
        if run.damage:
            repair_journal(run.paths.events)
            run.poll()
        return _attempt(run)


def _attempt(run: Run) -> int:
    attempt = run.next_attempt
    outcome: AttemptFinished | None = None
    try:
        with _journal(run, attempt) as journal:

            def emit(event: Event) -> None:
                if isinstance(event, Noticed):
                    print(f"notice: {event.text}", file=sys.stderr)  # noqa: T201 - the log
                run.snapshot.apply(journal.append(event))

            with _stop_on_signals():
                emit(AttemptStarted(attempt=attempt))
                outcome = _outcome_of(run, emit, journal.check)
            emit(outcome)
    except (PixartTuiError, CancelledError, OSError) as error:
        traceback.print_exc()
        known = error if not isinstance(error, OSError) else _explained(error, run.id)
        outcome = outcome or outcome_of(known)
        _end_without_journal(run, attempt, outcome)
    return outcome.failure.exit_code if outcome.failure else 0


@contextmanager
def _journal(run: Run, attempt: int) -> Iterator[JournalWriter]:
    """Says who works, and keeps saying it while the journal is open."""
    me = identify_self(attempt).model_dump_json().encode() + b"\n"
    contents = {run.paths.worker: me}
    if run.record is not None:
        contents[run.paths.request] = run.record.model_dump_json(indent=1).encode() + b"\n"
    own = OwnFiles(run.paths.events, contents, run.paths.log)
    reserve(run.paths.last_word)
    write_own(run.paths.worker, me)
    with (
        heartbeat(run.paths.heartbeat, own.keep),
        JournalWriter(run.paths.events) as journal,
    ):
        yield journal


def _end_without_journal(run: Run, attempt: int, outcome: AttemptFinished) -> None:
    """Says how it ended where that can be said, and nothing of a run that was deleted."""
    with suppress(OSError):
        if run.paths.events.exists() or run.paths.request.exists():
            say(run.paths.last_word, attempt, outcome)
        else:
            shutil.rmtree(run.paths.directory, ignore_errors=True)


def _outcome_of(run: Run, emit: Emit, check_journal: Check) -> AttemptFinished:
    try:
        _work(run, emit, check_journal)
    except CancelledError as error:
        return outcome_of(error)
    except PixartTuiError as error:
        traceback.print_exc()
        return outcome_of(error)
    except Exception as error:
        traceback.print_exc()
        return outcome_of(_explained(error, run.id))
    return AttemptFinished(state="done")


def _work(run: Run, emit: Emit, check_journal: Check) -> None:
    if run.record is None:
        raise RequestError(
            "the run's request cannot be read", cause=run.problem, next_step="start a new run"
        )
    request = run.record.request

    def check() -> None:
        check_journal()
        if run.paths.cancel.exists():
            raise CancelledError("cancelled", next_step=f"go on with: pixart-tui resume {run.id}")

    def waiting(reason: str) -> None:
        emit(StageChanged(stage=Stage.WAITING, detail=reason))

    with (
        device_lock(run, request.device, waiting, check),
        live_report(run.paths.live, request.device) as live,
    ):
        emit(StageChanged(stage=Stage.STARTING))
        settle_places(request)
        _do(run, request, emit, check, live)


def settle_places(request: AnyRequest) -> None:
    """Gives compilers places that they can work in, before anything that compiles is imported.

    Raises:
        RequestError: There is none, and the run compiles something.
    """
    try:
        chosen = compile_environment(os.environ)
    except RequestError:
        if _compiles(request):
            raise
        return
    os.environ.update(chosen)
    if "TMPDIR" in chosen:
        tempfile.tempdir = None


def _compiles(request: AnyRequest) -> bool:
    """Whether a compiler has work: that of the request, or Triton's for our kernels on a GPU."""
    if isinstance(request, BenchRequest):
        asked = bool(request.matrix) or set(request.compilers) != {"none"}
    else:
        asked = isinstance(request, GenerateRequest) and request.compiler != "none"
    return asked or request.device.startswith("cuda")


def _do(run: Run, request: AnyRequest, emit: Emit, check: Check, live: LiveReport) -> None:
    # Only now, so that a waiting worker holds no memory and importing torch delays no state.
    if isinstance(request, ProfileRequest):
        from pixart_tui.worker.jobs.profile import run_profile

        run_profile(run, request, emit, check)
    elif isinstance(request, VerifyRequest):
        from pixart_tui.worker.jobs.verify import run_verify

        run_verify(run, request, emit, check)
    elif isinstance(request, CompareRequest):
        from pixart_tui.worker.jobs.compare import run_compare

        run_compare(run, request, emit, check)
    elif isinstance(request, ExportRequest):
        from pixart_tui.worker.jobs.export import run_export

        run_export(request, emit, check)
    elif isinstance(request, GenerateRequest):
        from pixart_tui.worker.jobs.generate import run_generate

        run_generate(run, request, emit, check)
    elif isinstance(request, BenchRequest):
        from pixart_tui.worker.jobs.bench import run_bench

        run_bench(run, request, emit, check, live.add_pace)
    else:
        assert_never(request)


def _explained(error: Exception, run_id: str) -> WorkError:
    message = first_line(error)
    if "out of memory" in message.lower() or isinstance(error, MemoryError):
        advice = "free the device or ask for a smaller --height and --width, then resume"
        return WorkError("the device ran out of memory", cause=message, next_step=advice)
    return WorkError(
        f"the worker failed: {type(error).__name__}",
        cause=message,
        next_step=f"read the whole story with: pixart-tui logs {run_id}",
    )


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """SIGTERM and SIGINT cancel; SIGHUP, which a closing terminal sends, is ignored."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise CancelledError(
            "the worker was told to stop by a signal", next_step="pixart-tui resume"
        )

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
