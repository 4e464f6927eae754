from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from pixart_tui.runs.identity import WorkerIdentity, boot_id, identify_self, is_alive, start_ticks
from pixart_tui.runs.process.heartbeat import heartbeat


def test_this_process_lives(tmp_path: Path) -> None:
    assert is_alive(identify_self(1), tmp_path / "heartbeat")


def test_a_reused_pid_is_another_process(tmp_path: Path) -> None:
    me = identify_self(1)
    stranger = me.replace(start_ticks=me.start_ticks - 1)
    assert not is_alive(stranger, tmp_path / "heartbeat")


def test_a_reboot_ends_every_worker(tmp_path: Path) -> None:
    before = identify_self(1).replace(boot_id="another")
    assert not is_alive(before, tmp_path / "heartbeat")


def test_a_killed_process_is_dead_even_before_its_parent_has_reaped_it(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    ticks = start_ticks(process.pid)
    assert ticks is not None
    worker = WorkerIdentity(
        pid=process.pid, start_ticks=ticks, host=os.uname().nodename, boot_id=boot_id(), attempt=1
    )
    assert is_alive(worker, tmp_path / "heartbeat")
    process.kill()
    deadline = time.monotonic() + 5
    while is_alive(worker, tmp_path / "heartbeat") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_alive(worker, tmp_path / "heartbeat")
    process.wait()


def test_across_hosts_the_heartbeat_decides(tmp_path: Path) -> None:
    beat = tmp_path / "heartbeat"
    elsewhere = identify_self(1).replace(host="another-host")
    assert not is_alive(elsewhere, beat)
    with heartbeat(beat):
        deadline = time.monotonic() + 5
        while not beat.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert is_alive(elsewhere, beat)
    long_ago = time.time() - 3600
    os.utime(beat, (long_ago, long_ago))
    assert not is_alive(elsewhere, beat)
