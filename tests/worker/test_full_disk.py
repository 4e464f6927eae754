"""Runs on a disk that is full from some moment on."""

from __future__ import annotations

import json
import os
import resource
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.catalogue import create_run, find_run, list_runs
from pixart_tui.runs.own_files import LOG_MOST_BYTES, trim_log
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.process.device_lock import device_lock
from pixart_tui.runs.run import RunState
from tests.worker import requests
from tests.worker.waiting import wait


@pytest.fixture
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A disk of so many KiB, where runs live."""
    runs = tmp_path / "runs"
    runs.mkdir()
    if os.geteuid():
        pytest.skip("only root mounts a small disk")
    mount = ["mount", "-t", "tmpfs", "-o", str(request.param), "none", str(runs)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield runs
    subprocess.run(["umount", "--lazy", str(runs)], check=True)


@pytest.mark.parametrize(
    "disk",
    ["size=8k", "size=12k", "size=40k", "size=80k", "nr_inodes=4", "nr_inodes=5"],
    indirect=True,
)
@pytest.mark.usefixtures("disk")
def test_the_cause_is_told_whenever_the_disk_fills(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = create_run(requests.profile(tmp_path))
    with suppress(WorkError):  # it may not even start
        start_worker(run)
    run = wait(find_run(run.id), lambda r: r.state().is_finished)

    assert run.state() is RunState.FAILED, run.trouble()
    assert main(["attach", run.id, "--display", "none"]) == 1
    told = capsys.readouterr().err
    assert "No space left" in told
    assert f"resume {run.id}" in told
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert found["state"] == "failed"
    assert found["error"]["cause"].endswith("No space left on device")


@pytest.mark.parametrize("disk", ["size=24k"], indirect=True)
def test_with_more_space_it_goes_on_where_it_stopped(disk: Path, tmp_path: Path) -> None:
    run = create_run(requests.profile(tmp_path))
    start_worker(run)
    wait(run, lambda r: r.state().is_finished)
    assert run.state() is RunState.FAILED
    before = run.snapshot.done
    subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
    start_worker(run)
    wait(run, lambda r: r.snapshot.done > before or r.state().is_finished)
    assert run.state() is RunState.RUNNING, run.trouble()
    cancel(run)


@pytest.mark.parametrize("disk", ["nr_inodes=20"], indirect=True)
def test_a_run_is_cancelled_where_the_request_to_stop_finds_no_room(
    disk: Path, tmp_path: Path
) -> None:
    holder = create_run(requests.profile(tmp_path / "other"))
    shutil.rmtree(holder.paths.directory)
    with device_lock(holder, "cpu", lambda _: None, lambda: None):
        run = create_run(requests.profile(tmp_path))
        start_worker(run)
        wait(run, lambda r: r.snapshot.stage is not None)
        while True:
            try:
                (disk / secrets.token_hex(4)).touch()
            except OSError:
                break
        cancel(run)
        assert not run.paths.cancel.exists()
    assert run.state() is RunState.CANCELLED


@pytest.mark.parametrize("disk", ["size=4k"], indirect=True)
def test_a_run_that_has_no_room_at_all_is_not_made(disk: Path, tmp_path: Path) -> None:
    with pytest.raises(WorkError) as caught:
        create_run(requests.profile(tmp_path))
    assert "No space left" in caught.value.cause
    assert list_runs() == []
    assert list(disk.iterdir()) == []


@pytest.mark.real_processes
def test_a_journal_that_may_not_grow_is_no_silent_death(tmp_path: Path) -> None:
    run = create_run(requests.profile(tmp_path))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    try:
        start_worker(run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    wait(run, lambda r: r.state().is_finished)
    trouble = run.trouble()
    assert trouble is not None
    assert (run.state(), trouble.cause) == (RunState.FAILED, "File too large")
    assert "events.jsonl could not be written" in trouble.title


def test_a_log_that_is_too_long_loses_its_older_half(tmp_path: Path) -> None:
    log = tmp_path / "worker.log"
    with log.open("ab", buffering=0) as worker:
        for number in range(LOG_MOST_BYTES // 100 + 100):
            worker.write(b"%099d\n" % number)
        trim_log(log)
        worker.write(b"and on\n")
    first, *lines, last = log.read_text().splitlines()
    assert "dropped" in first
    assert last == "and on"
    numbers = [int(line) for line in lines]
    assert numbers == list(range(numbers[0], LOG_MOST_BYTES // 100 + 100))
    assert LOG_MOST_BYTES // 3 < log.stat().st_size < LOG_MOST_BYTES
    before = log.read_bytes()
    trim_log(log)
    assert log.read_bytes() == before
