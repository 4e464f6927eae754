"""One attempt at a run: identify, wait for the device, work, and say how it ended."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Literal

from pixart_tui.domain.errors import CancelledError, PixartTuiError, RequestError, WorkError
from pixart_tui.domain.events import AttemptFinished, AttemptStarted, Event, Failure, StageChanged
from pixart_tui.domain.requests import (
    AnyRequest,
    CompareRequest,
    ExportRequest,
    GenerateRequest,
    ProfileRequest,
    VerifyRequest,
)
from pixart_tui.runs.compile_places import compile_environment
from pixart_tui.runs.device_lock import device_lock, exclusive_run
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.heartbeat import heartbeat
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.runs.process import identify_self
from pixart_tui.runs.run import Run
from pixart_tui.worker.live import LiveReport, live_report

Emit = Callable[[Event], None]
Check = Callable[[], None]


def work_on(directory: Path) -> int:
    """Works on a run and returns the exit code of its outcome."""
    run = Run.open(directory)
    run.poll()
    with exclusive_run(run.id) as mine:
        if not mine:
            print(f"run {run.id} already has a worker", file=sys.stderr)  # noqa: T201 - the log
            return RequestError.exit_code
        return _attempt(run)


def _attempt(run: Run) -> int:
    previous = run.worker()
    attempt = max(run.snapshot.attempts, previous.attempt if previous else 0) + 1
    write_atomically(run.paths.worker, identify_self(attempt).model_dump_json() + "\n")
    with heartbeat(run.paths.heartbeat), JournalWriter(run.paths.events) as journal:

        def emit(event: Event) -> None:
            run.snapshot.apply(journal.append(event))

        with _stop_on_signals():
            emit(AttemptStarted(attempt=attempt))
            outcome = _outcome_of(run, emit)
        emit(outcome)
    return outcome.failure.exit_code if outcome.failure else 0


def _outcome_of(run: Run, emit: Emit) -> AttemptFinished:
    try:
        _work(run, emit)
    except CancelledError as error:
        return _ended("cancelled", error)
    except PixartTuiError as error:
        traceback.print_exc()
        return _ended("failed", error)
    except Exception as error:
        traceback.print_exc()
        return _ended("failed", _explained(error, run.id))
    return AttemptFinished(state="done")


def _work(run: Run, emit: Emit) -> None:
    if run.record is None:
        raise RequestError("the run's request cannot be read", run.problem, "start a new run")
    request = run.record.request

    def check() -> None:
        if run.paths.cancel.exists():
            raise CancelledError("cancelled", "", f"go on with: pixart-tui resume {run.id}")

    def waiting(reason: str) -> None:
        emit(StageChanged(stage="waiting", detail=reason))

    with (
        device_lock(run, request.device, waiting, check),
        live_report(run.paths.live, request.device) as live,
    ):
        emit(StageChanged(stage="starting"))
        _settle_places()
        _do(run, request, emit, check, live)


def _settle_places() -> None:
    """Gives compilers places that they can work in, before anything that compiles is imported."""
    chosen = compile_environment(os.environ)
    os.environ.update(chosen)
    if "TMPDIR" in chosen:
        tempfile.tempdir = None


def _do(run: Run, request: AnyRequest, emit: Emit, check: Check, live: LiveReport) -> None:
    # Only now, so that a waiting worker holds no memory and importing torch delays no state.
    if isinstance(request, ProfileRequest):
        from pixart_tui.worker.profile_job import run_profile

        run_profile(run, request, emit, check)
    elif isinstance(request, VerifyRequest):
        from pixart_tui.worker.verify_job import run_verify

        run_verify(run, request, emit, check)
    elif isinstance(request, CompareRequest):
        from pixart_tui.worker.compare_job import run_compare

        run_compare(run, request, emit, check)
    elif isinstance(request, ExportRequest):
        from pixart_tui.worker.export_job import run_export

        run_export(request, emit, check)
    elif isinstance(request, GenerateRequest):
        from pixart_tui.worker.generate_job import run_generate

        run_generate(run, request, emit, check)
    else:
        from pixart_tui.worker.bench_job import run_bench

        run_bench(run, request, emit, check, live.add_pace)


def _ended(
    state: Literal["failed", "cancelled"], error: PixartTuiError | CancelledError
) -> AttemptFinished:
    failure = Failure(
        title=error.title,
        cause=error.cause,
        next_step=error.next_step,
        exit_code=error.exit_code,
    )
    return AttemptFinished(state=state, failure=failure)


def _explained(error: Exception, run_id: str) -> WorkError:
    message = (str(error).splitlines() or [""])[0][:200]
    if "out of memory" in message.lower() or isinstance(error, MemoryError):
        advice = "free the device or ask for a smaller --height and --width, then resume"
        return WorkError("the device ran out of memory", message, advice)
    return WorkError(
        f"the worker failed: {type(error).__name__}",
        message,
        f"read the whole story with: pixart-tui logs {run_id}",
    )


@contextmanager
def _stop_on_signals() -> Iterator[None]:
    """SIGTERM and SIGINT cancel; SIGHUP, which a closing terminal sends, is ignored."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise CancelledError("the worker was told to stop by a signal", "", "pixart-tui resume")

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    before[signal.SIGHUP] = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
