"""Another user of the same machine: what can be read, what is planted, what is held."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.chaos.parts import Case, Part, References
from benchmarks.chaos.processes import ended, start_worker
from benchmarks.chaos.trying import Try

_NOBODY: Final = 65534
_LIMIT_S: Final = 40.0
_LOCK: Final = "device-cpu.lock"


def _cases(_references: References) -> list[Case]:
    found = [
        Case("a lock that is held for ever", _held),
        Case("directories for links to point at", _linked_run),
    ]
    if os.geteuid() == 0:
        found += [Case("what another user can write", _writable)]
        found += [Case(name, partial(_planted, plant)) for name, plant in _PLANTS.items()]
    return found


def _held(one: Try) -> None:
    """A run waits for a device that somebody holds, says so, and can be cancelled."""
    directory = one.new_run("adjoint")
    locks = one.place / "locks"
    with (locks / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        pid = start_worker(directory, one.setting())
        deadline_s = time.monotonic() + _LIMIT_S
        while b"is in use" not in _read(directory / "events.jsonl"):
            if time.monotonic() > deadline_s:
                one.blame("untold", "it does not say what it waits for")
                break
            time.sleep(0.1)
        if one.command("cancel", directory.name).code:
            one.blame("wrong", "it cannot be cancelled")
        if ended(pid, _LIMIT_S) != 130:
            one.blame("wrong", "it does not end as cancelled")
    one.resume(directory)
    one.same_as_reference("adjoint")


def _linked_run(one: Try) -> None:
    """A run's directory that is a link to somebody else's is deleted as a link."""
    target = one.others / "folder"
    (one.runs / "aaaaaaaa").symlink_to(target)
    one.note_others()
    for arguments in (("runs",), ("attach", "aaaaaaaa"), ("delete", "aaaaaaaa", "--yes")):
        one.command(*arguments)


def _writable(one: Try) -> None:
    """Nothing of a run, nor any lock, can be written by another user, whatever stands there."""
    directory = one.new_run("adjoint")
    os.umask(0o022)
    one.work(directory)
    for path in (*one.runs.rglob("*"), *(one.place / "locks").rglob("*")):
        mode = path.lstat().st_mode
        if mode & stat.S_IWOTH and not path.is_symlink():
            one.blame("wrong", f"anybody can write {path.relative_to(one.place)}")


def _read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def _as_nobody(action: Callable[[], None]) -> None:
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setgid(_NOBODY)
            os.setuid(_NOBODY)
            action()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def _folder(root: Path, _others: Path) -> None:
    root.mkdir(mode=0o777)


def _folder_with_link(root: Path, others: Path) -> None:
    root.mkdir(mode=0o777)
    (root / _LOCK).symlink_to(others / "canary")


def _folder_with_new_link(root: Path, others: Path) -> None:
    root.mkdir(mode=0o777)
    (root / _LOCK).symlink_to(others / "made by a link")


def _folder_with_pipe(root: Path, _others: Path) -> None:
    root.mkdir(mode=0o777)
    os.mkfifo(root / _LOCK)


def _link(root: Path, others: Path) -> None:
    root.symlink_to(others / "folder")


def _file(root: Path, _others: Path) -> None:
    root.write_text("")


_PLANTS: Final[dict[str, Callable[[Path, Path], None]]] = {
    "the directory of locks is another's": _folder,
    "the lock is a link to a file": _folder_with_link,
    "the lock is a link to nothing": _folder_with_new_link,
    "the lock is a pipe": _folder_with_pipe,
    "the directory of locks is a link": _link,
    "the directory of locks is a file": _file,
}


def _planted(plant: Callable[[Path, Path], None], one: Try) -> None:
    """Somebody made the directory of locks in the temporary directory first."""
    with tempfile.TemporaryDirectory(dir="/tmp") as shared:  # every user gets there
        Path(shared).chmod(0o1777)
        os.environ["TMPDIR"] = shared
        del os.environ["PIXART_TUI_LOCKS"]
        _work_beside(plant, one, Path(shared))


def _work_beside(plant: Callable[[Path, Path], None], one: Try, shared: Path) -> None:
    root = shared / f"pixart-tui-{os.getuid()}"
    _as_nobody(lambda: plant(root, one.others))
    if not os.path.lexists(root):
        one.blame("wrong", "nothing could be planted: is the place readable for others?")
        return
    one.note_others()
    holder = _holding(root / _LOCK) if root.is_dir() and plant is _folder else 0
    directory = one.new_run("adjoint")
    found = one.command("resume", directory.name, "--display", "none", limit_s=_LIMIT_S)
    if holder:
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
    if found.code and "PIXART_TUI_LOCKS" not in found.text:
        one.blame("untold", f"exit {found.code}: {found.text[-200:]}")


def _holding(lock: Path) -> int:
    """Another user's process that never gives a lock back."""
    pid = os.fork()
    if pid:
        time.sleep(0.5)
        return pid
    try:
        os.setgid(_NOBODY)
        os.setuid(_NOBODY)
        with lock.open("a") as file:
            lock.chmod(0o666)
            fcntl.flock(file, fcntl.LOCK_EX)
            signal.pause()
    finally:
        os._exit(0)


PARTS: Final = (Part("users", "another user, planted and held locks", ("adjoint",), _cases),)
