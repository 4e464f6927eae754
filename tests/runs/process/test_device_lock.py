from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.identity import identify_self
from pixart_tui.runs.paths import locks_root
from pixart_tui.runs.process.device_lock import device_lock, exclusive_run, own_locks
from pixart_tui.runs.run import Run
from tests.runs.builders import give_worker, new_run, started


class _TiredError(Exception):
    pass


def _hold(run: Run, device: str = "cpu") -> list[str]:
    """Takes the lock once, giving up at the first wait; returns what it was told."""
    told: list[str] = []

    def give_up() -> None:
        raise _TiredError

    with device_lock(run, device, told.append, give_up):
        pass
    return told


def test_a_free_device_is_taken_at_once(tmp_path: Path) -> None:
    assert _hold(new_run(tmp_path)) == []


def test_a_later_run_waits_for_an_earlier_one_that_lives(tmp_path: Path) -> None:
    earlier = new_run(tmp_path, started())
    give_worker(earlier, alive=True)
    later = new_run(tmp_path)
    with pytest.raises(_TiredError):
        _hold(later)
    assert _hold(earlier) == []


def test_a_dead_run_holds_up_nobody(tmp_path: Path) -> None:
    dead = new_run(tmp_path, started())
    give_worker(dead, alive=False)
    assert _hold(new_run(tmp_path)) == []


def test_other_devices_do_not_wait(tmp_path: Path) -> None:
    earlier = new_run(tmp_path, started(), device="cuda:0")
    give_worker(earlier, alive=True)
    assert _hold(new_run(tmp_path)) == []


def test_a_run_on_another_host_holds_up_nobody_here(tmp_path: Path) -> None:
    elsewhere = new_run(tmp_path, started())
    worker = identify_self(1).replace(host="another-host")
    elsewhere.paths.worker.write_text(worker.model_dump_json())
    elsewhere.paths.heartbeat.touch()
    assert not elsewhere.state().is_finished
    assert _hold(new_run(tmp_path)) == []


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    script = (
        "import sys, time, pathlib\n"
        "from pixart_tui.runs.process.device_lock import device_lock\n"
        "from pixart_tui.runs.run import Run\n"
        "run = Run.open(pathlib.Path(sys.argv[1]))\n"
        "with device_lock(run, 'cpu', print, lambda: None):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(run.paths.directory)], stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(_TiredError):
        _hold(run)
    holder.kill()
    holder.wait()
    holder.stdout.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            assert _hold(run) == []
            break
        except _TiredError:
            time.sleep(0.05)


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with exclusive_run(run) as first, exclusive_run(run) as second:
        assert (first, second) == (True, False)
    with exclusive_run(run) as again:
        assert again


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where locks lie by default: in a directory that everybody can write to."""
    monkeypatch.delenv("PIXART_TUI_LOCKS")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    return locks_root()


def test_a_link_that_somebody_planted_is_not_followed(planted: Path, tmp_path: Path) -> None:
    target = tmp_path / "somebody's"
    target.mkdir()
    planted.symlink_to(target)
    with pytest.raises(WorkError) as refused, exclusive_run(new_run(tmp_path / "runs")):
        pass
    assert "PIXART_TUI_LOCKS" in refused.value.next_step
    assert not list(target.iterdir())


def test_a_directory_that_others_can_write_to_holds_no_locks(planted: Path) -> None:
    planted.mkdir()
    planted.chmod(0o777)
    with pytest.raises(WorkError, match="cannot hold locks"):
        own_locks()
    planted.chmod(0o700)
    assert own_locks() == planted


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")
def test_a_directory_of_another_user_holds_no_locks(planted: Path) -> None:
    planted.mkdir(mode=0o700)
    os.chown(planted, 65534, 65534)
    with pytest.raises(WorkError, match="cannot hold locks"):
        own_locks()


def test_a_file_in_the_way_is_told_with_the_variable_that_helps(planted: Path) -> None:
    planted.write_text("")
    with pytest.raises(WorkError) as refused:
        own_locks()
    assert "PIXART_TUI_LOCKS" in refused.value.next_step


def test_a_place_that_was_named_is_taken_as_it_is(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planted.mkdir()
    planted.chmod(0o777)
    monkeypatch.setenv("PIXART_TUI_LOCKS", str(planted))
    assert own_locks() == planted
