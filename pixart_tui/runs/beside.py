"""Files and folders that are made beside what they become, and cleared once their writer is dead.

A living writer holds a lock on its own, so a file that can be locked has no owner.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import IO, Final

_ENDING: Final = ".pixart-tui"
_TOKEN_CHARACTERS: Final = 8


def file_beside(target: Path, mode: int) -> AbstractContextManager[tuple[IO[bytes], Path]]:
    """Makes an empty file beside a target; it is gone at the end, unless it was renamed.

    Args:
        target: What it is to become.
        mode: Its permissions, of which the umask takes some.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    clear_beside(target)
    while True:
        path = _name_beside(target)
        handle = os.open(path, flags, mode)
        if _hold(handle):
            return _kept_file(handle, path)
        os.close(handle)


@contextmanager
def folder_beside(target: Path) -> Iterator[Path]:
    """An empty folder beside a target; it is gone at the end, unless it was renamed."""
    clear_beside(target)
    while True:
        path = _name_beside(target)
        path.mkdir()
        with _opened(path) as handle:
            if not _hold(handle):
                continue
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
            return


def clear_beside(target: Path) -> None:
    """Removes what killed writers of a target left beside it."""
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            if _is_beside(entry.name, target):
                with suppress(OSError):
                    _remove_if_dead(Path(entry.path))


@contextmanager
def _kept_file(handle: int, path: Path) -> Iterator[tuple[IO[bytes], Path]]:
    with os.fdopen(handle, "w+b") as file:
        try:
            yield file, path
        finally:
            path.unlink(missing_ok=True)


def _remove_if_dead(path: Path) -> None:
    with _opened(path) as handle:
        if os.fstat(handle).st_uid != os.geteuid():
            return
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def _hold(handle: int) -> bool:
    """Locks a file that was just made; False where another process took it for a dead writer's."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks, where nothing is cleared
        return True
    return os.fstat(handle).st_nlink > 0


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        yield handle
    finally:
        os.close(handle)


def _name_beside(target: Path) -> Path:
    token = secrets.token_hex(_TOKEN_CHARACTERS // 2)
    return target.with_name(f"{_beginning(target)}{token}{_ENDING}")


def _is_beside(name: str, target: Path) -> bool:
    beginning = _beginning(target)
    length = len(beginning) + _TOKEN_CHARACTERS + len(_ENDING)
    return name.startswith(beginning) and name.endswith(_ENDING) and len(name) == length


def _beginning(target: Path) -> str:
    """Hidden, and cut so that the whole name is never too long."""
    room = os.pathconf(target.parent, "PC_NAME_MAX") - len("..") - _TOKEN_CHARACTERS - len(_ENDING)
    return f".{os.fsencode(target.name)[:room].decode(errors='ignore')}."
