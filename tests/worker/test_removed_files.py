"""Files of a run that somebody removes while its worker lives."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import AnyRequest
from pixart_tui.runs.catalogue import create_run, delete_run, find_run
from pixart_tui.runs.identity import HEARTBEAT_INTERVAL_S
from pixart_tui.runs.paths import runs_root
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.process.device_lock import device_lock
from pixart_tui.runs.run import Run, RunState
from tests.worker import requests
from tests.worker.waiting import LIMIT_S, wait


def _process(run: Run) -> psutil.Process:
    worker = run.worker()
    assert worker is not None
    return psutil.Process(worker.pid)


@contextmanager
def _queued(request: AnyRequest) -> Iterator[Run]:
    """A run whose worker waits for the device."""
    holder = create_run(request)
    with device_lock(holder, "cpu", lambda _: None, lambda: None):
        run = create_run(request)
        start_worker(run)
        wait(run, lambda r: r.snapshot.stage is not None)
        process = _process(run)
        try:
            yield run
        finally:
            _delete(run)
            process.wait(LIMIT_S)


def _delete(run: Run) -> None:
    """Removes a run's directory, from which its worker may remove its own files meanwhile."""
    while run.paths.directory.exists():
        shutil.rmtree(run.paths.directory, ignore_errors=True)


def _at_work(request: AnyRequest) -> Run:
    """A run that has its first pictures, or steps, behind it."""
    run = create_run(request)
    start_worker(run)
    return wait(run, lambda r: _is_at_work(r) or r.state().is_finished)


def _is_at_work(run: Run) -> bool:
    stage = run.snapshot.stage
    at_work = stage is not None and stage.stage in ("measuring", "comparing", "generating")
    return run.snapshot.done > 0 or (at_work and stage is not None and stage.done > 0)


@pytest.mark.parametrize("make", requests.MAKERS, ids=lambda make: make.__name__)
def test_a_waiting_worker_whose_run_was_deleted_leaves_nothing(
    tmp_path: Path, make: Callable[[Path], AnyRequest]
) -> None:
    with _queued(make(tmp_path)) as run:
        process = _process(run)
        _delete(run)
        assert run.state() is RunState.STALE
        process.wait(LIMIT_S)
    assert not run.paths.directory.exists()


@pytest.mark.parametrize(
    "make",
    [requests.profile, requests.adjoint, requests.compare, requests.generate],
    ids=lambda make: make.__name__,
)
def test_a_worker_whose_run_was_deleted_stops_and_leaves_nothing(
    tmp_path: Path, make: Callable[[Path], AnyRequest]
) -> None:
    run = _at_work(make(tmp_path))
    assert run.state() is RunState.RUNNING, run.log_tail()
    process = _process(run)
    # Its files one by one, as a slow rm does it: the worker may write between any two.
    for path in sorted(run.paths.directory.rglob("*"), reverse=True):
        if path.is_file():
            path.unlink(missing_ok=True)
    _delete(run)
    process.wait(60)
    assert list(runs_root().iterdir()) == []
    assert not (tmp_path / "out").exists()


def test_a_benchmark_whose_run_was_deleted_ends_its_child_too(tmp_path: Path) -> None:
    run = create_run(requests.bench(tmp_path))
    start_worker(run)
    wait(run, lambda r: len(r.snapshot.benchmark.rows) > 0 or r.state().is_finished)
    process = _process(run)
    children = process.children(recursive=True)
    assert children
    _delete(run)
    process.wait(60)
    psutil.wait_procs(children, timeout=LIMIT_S)
    assert not any(child.is_running() for child in children)
    assert list(runs_root().iterdir()) == []


def test_who_watches_a_run_that_is_deleted_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _queued(requests.profile(tmp_path)) as run:
        _delete(run)
        trouble = run.trouble()
        assert trouble is not None
        assert trouble.title == f"run {run.id} was deleted"
        with pytest.raises(RequestError, match="was deleted"):
            start_worker(run)
    assert main(["attach", run.id]) == 2
    assert "no run is called" in capsys.readouterr().err


def test_a_removed_journal_ends_the_run_with_the_cause_and_a_resume_begins_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with _queued(requests.profile(tmp_path)) as run:
        watcher = find_run(run.id)
        process = _process(run)
        run.paths.events.unlink()
        process.wait(LIMIT_S)
        found = find_run(run.id)
        assert found.state() is RunState.FAILED
        assert main(["attach", run.id, "--display", "none"]) == 1
        assert "events.jsonl was removed" in capsys.readouterr().err
        assert main(["attach", run.id, "--display", "json"]) == 1
        kinds = [json.loads(line)["event"]["type"] for line in capsys.readouterr().out.splitlines()]
        assert kinds == ["attempt_started", "attempt_finished"]

        start_worker(found)
        wait(watcher, lambda r: r.snapshot.attempts == 2 and r.state() is RunState.QUEUED)
        cancel(watcher)
        assert watcher.state() is RunState.CANCELLED


def test_a_removed_name_of_the_worker_comes_back_and_confuses_nobody(tmp_path: Path) -> None:
    with _queued(requests.profile(tmp_path)) as run:
        pid = _process(run).pid
        run.paths.worker.unlink()
        assert run.state() is RunState.QUEUED
        with pytest.raises(RequestError, match="already has a worker"):
            start_worker(find_run(run.id))
        with pytest.raises(RequestError, match="is queued"):
            delete_run(find_run(run.id))
        _until(run.paths.worker.exists)
        assert _process(run).pid == pid
        run.paths.worker.unlink()
        cancel(find_run(run.id))
        assert find_run(run.id).state() is RunState.CANCELLED


def test_an_ended_run_without_its_worker_s_name_is_what_it_was(tmp_path: Path) -> None:
    with _queued(requests.profile(tmp_path)) as run:
        cancel(run)
        _process(run).wait(LIMIT_S)
        run.paths.worker.unlink()
        assert find_run(run.id).state() is RunState.CANCELLED


def test_a_removed_request_comes_back_while_the_worker_lives(tmp_path: Path) -> None:
    with _queued(requests.profile(tmp_path)) as run:
        before = run.paths.request.read_bytes()
        run.paths.request.unlink()
        _until(run.paths.request.exists)
        assert run.paths.request.read_bytes() == before
        # At the very end there is no further beat.
        run.paths.request.unlink()
        cancel(run)
        _process(run).wait(LIMIT_S)
        assert run.paths.request.read_bytes() == before
        run.paths.log.unlink()
        with pytest.raises(SystemExit):
            raise SystemExit(main(["logs", run.id]))


def _until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 2 * HEARTBEAT_INTERVAL_S + 2
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.02)
