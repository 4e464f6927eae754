"""Several hands on one run at a moment, and workers that are stopped or gone."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.errors import PixartTuiError, RequestError, WorkError
from pixart_tui.domain.requests import AnyRequest
from pixart_tui.runs.catalogue import create_run, find_run
from pixart_tui.runs.identity import is_alive
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.process.device_lock import device_lock
from pixart_tui.runs.run import Run, RunState
from tests.worker import requests
from tests.worker.waiting import LIMIT_S, wait


@pytest.fixture
def busy_device(tmp_path: Path) -> Iterator[None]:
    """Every worker waits for the device, and imports no torch."""
    holder = create_run(requests.profile(tmp_path))
    with device_lock(holder, "cpu", lambda _: None, lambda: None):
        yield


def _waiting(request: AnyRequest) -> Run:
    run = create_run(request)
    start_worker(run)
    return wait(run, lambda r: r.snapshot.stage is not None)


def _process(run: Run) -> psutil.Process:
    worker = run.worker()
    assert worker is not None
    return psutil.Process(worker.pid)


def _resume(run_id: str) -> PixartTuiError | None:
    try:
        start_worker(find_run(run_id))
    except PixartTuiError as error:
        return error
    return None


@pytest.mark.usefixtures("busy_device")
@pytest.mark.parametrize("make", requests.MAKERS, ids=lambda make: make.__name__)
def test_of_three_resumes_at_once_one_works_and_two_are_told_so(
    tmp_path: Path, make: Callable[[Path], AnyRequest]
) -> None:
    run = _waiting(make(tmp_path))
    _process(run).kill()
    wait(run, lambda r: r.state() is RunState.STALE)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(_resume, [run.id] * 3))
    refused = [error for error in found if error is not None]
    assert len(refused) == 2
    for error in refused:
        assert isinstance(error, RequestError)
        assert error.title == f"run {run.id} already has a worker"
    worker = run.worker()
    assert worker is not None
    assert is_alive(worker, run.paths.heartbeat)
    assert worker.attempt == 2
    cancel(find_run(run.id))
    assert run.log_tail() == []


@pytest.mark.usefixtures("busy_device")
def test_a_queued_run_whose_worker_died_is_told_in_the_list(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    run = _waiting(requests.profile(tmp_path))
    _process(run).kill()
    wait(run, lambda r: r.state() is RunState.STALE)
    assert main(["runs"]) == 0
    words = " ".join(capsys.readouterr().out.split())
    assert "0/0" not in words
    assert "it said nothing" in words
    run.paths.log.write_text("loading\nBus error\n")
    assert main(["runs", "--json"]) == 0
    found = next(x for x in json.loads(capsys.readouterr().out) if x["id"] == run.id)
    assert (found["state"], found["error"]["cause"]) == ("stale", "its last words: Bus error")


@pytest.mark.real_processes
def test_a_worker_that_cannot_begin_leaves_a_failed_run_and_not_a_queued_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run(requests.profile(tmp_path))
    with monkeypatch.context() as patch:
        (tmp_path / "broken").mkdir()
        (tmp_path / "broken" / "pydantic.py").write_text("raise ImportError('it is broken')")
        patch.setenv("PYTHONPATH", f"{tmp_path / 'broken'}:{os.environ.get('PYTHONPATH', '')}")
        with pytest.raises(WorkError, match="did not start"):
            start_worker(run)
    assert find_run(run.id).state() is RunState.FAILED
    assert main(["attach", run.id, "--display", "none"]) == 1
    assert "it is broken" in capsys.readouterr().err


@pytest.mark.usefixtures("busy_device")
def test_a_stopped_worker_is_told_and_is_cancelled_once_it_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _waiting(requests.profile(tmp_path))
    process = _process(run)
    process.suspend()
    began_s = time.monotonic()
    assert main(["cancel", run.id]) == 1
    assert time.monotonic() - began_s < 3
    told = capsys.readouterr().err
    assert f"the worker of run {run.id} is stopped" in told
    assert f"kill -CONT {process.pid}" in told
    assert f"cancel {run.id} --force" in told
    assert main(["resume", run.id]) == 2
    assert "stopped by a signal" in capsys.readouterr().err
    assert run.state() is RunState.QUEUED
    assert main(["runs", "--json"]) == 0
    described = next(x for x in json.loads(capsys.readouterr().out) if x["id"] == run.id)
    assert (described["state"], described["stopped"]) == ("queued", True)
    assert main(["runs"]) == 0
    listed = capsys.readouterr().out
    assert any(run.id in line and "stopped" in line for line in listed.splitlines())

    process.resume()
    wait(run, lambda r: r.state().is_finished)
    assert run.state() is RunState.CANCELLED


@pytest.mark.usefixtures("busy_device")
def test_force_cancels_a_stopped_worker_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _waiting(requests.profile(tmp_path))
    process = _process(run)
    process.suspend()
    assert main(["cancel", run.id, "--force"]) == 0
    assert f"cancelled {run.id}" in capsys.readouterr().err
    process.wait(LIMIT_S)
    assert find_run(run.id).state() is RunState.CANCELLED


def test_force_ends_a_worker_that_listens_to_nothing(tmp_path: Path) -> None:
    """One that is stopped anew as soon as it goes on, as a freezer does it."""
    holder = create_run(requests.profile(tmp_path))
    with device_lock(holder, "cpu", lambda _: None, lambda: None):
        run = _waiting(requests.profile(tmp_path))
        process = _process(run)
        with ThreadPoolExecutor(1) as pool:
            frozen = pool.submit(_freeze, process)
            cancel(find_run(run.id), force=True)
            frozen.result()
        found = find_run(run.id)
        assert found.state() is RunState.CANCELLED
        assert found.trouble() is not None
        start_worker(found)
        wait(found, lambda r: r.snapshot.attempts == 2 and r.state() is RunState.QUEUED)
        cancel(found)


def _freeze(process: psutil.Process) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            os.kill(process.pid, signal.SIGSTOP)
            if process.status() == psutil.STATUS_ZOMBIE:
                return
        except (ProcessLookupError, psutil.NoSuchProcess):
            return
        time.sleep(0.0005)
