"""Writes the files that a user names: whole or not at all, and never in place of another file."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.runs.beside import clear_beside, file_beside

_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_atomically(path: Path, content: str | bytes, *, parents: bool = True) -> None:
    """Writes a whole file, or leaves what was there; see :func:`replacing`.

    Args:
        path: The file.
        content: What it is to hold.
        parents: Whether to make all folders above it, and not its own alone.

    Raises:
        WorkError: The directory cannot be written to, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with telling(path):
        _target(path).parent.mkdir(parents=parents, exist_ok=True)
        with replacing(path) as file:
            file.write(data)


def write_with_companion(
    path: Path, content: str | bytes, companion: Path, about: str
) -> tuple[Path, ...]:
    """Writes a file and what is told about it beside it, which comes first; returns their paths.

    Nothing stands beside a device or a pipe.

    Raises:
        WorkError: One cannot be written.
    """
    written = (path,) if is_stream(path) else (companion, path)
    for each in written:
        write_atomically(each, content if each == path else about)
    return written


def remove_file(path: Path) -> None:
    """Removes a file, and what killed writers of it left."""
    path.unlink(missing_ok=True)
    clear_beside(path)


def make_parent(path: Path) -> None:
    """Makes the directory of a file that will be written.

    Raises:
        RequestError: It cannot be made.
    """
    try:
        _target(path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        cause = error.strerror or str(error)
        raise RequestError(
            f"{path} cannot be written", cause=cause, next_step="name another file"
        ) from error


def is_stream(path: Path) -> bool:
    """Whether what stands there is no regular file (a device, a pipe), or one that is open."""
    if descriptor_of(path) is not None:
        return True
    try:
        there = _standing(path)
    except OSError:  # the writer reports it
        return False
    return there is not None and not stat.S_ISREG(there.st_mode)


def is_same_file(path: Path, other: Path) -> bool:
    """Whether two paths lead to one file, be it there or not."""
    return (
        path.samefile(other)
        if path.exists() and other.exists()
        else _target(path) == _target(other)
    )


def descriptor_of(path: Path) -> int | None:
    """The number of a file that this process has open, if a path such as /dev/stdout means one."""
    own = Path(f"/proc/{os.getpid()}/fd")
    with suppress(OSError, RuntimeError):
        for _ in range(40):
            if path.name.isdecimal() and path.parent.resolve() == own:
                return int(path.name)
            path = path.parent / path.readlink()
    return None


def check_writable(path: Path) -> None:
    """Finds out beforehand what would keep a file from being written; nothing is made.

    Raises:
        OSError: It cannot be.
    """
    number = descriptor_of(path)
    if number is not None:
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise _os_error(errno.EBADF)
        return
    there = _standing(path)
    if there is None:
        _check_parent(_target(path))
    elif stat.S_ISDIR(there.st_mode):
        raise _os_error(errno.EISDIR)
    elif stat.S_ISSOCK(there.st_mode):
        raise OSError(errno.ENXIO, "it is a socket")
    elif not os.access(path, os.W_OK):
        raise _os_error(errno.EACCES)


@contextmanager
def telling(path: Path) -> Iterator[None]:
    """Says which file could not be written, where the system only says why.

    Raises:
        WorkError: An ``OSError`` was raised.
    """
    try:
        yield
    except OSError as error:
        advice = "free some space or name another place; what was there before is untouched"
        raise WorkError(
            f"{path} could not be written",
            cause=error.strerror or str(error),
            next_step=advice if error.errno in _FULL else "name another place",
        ) from error


@contextmanager
def replacing(path: Path, *, synced: bool = True) -> Iterator[IO[bytes]]:
    """A file that takes a path's place once it is whole; nothing of it stays else.

    A symbolic link is followed. The new file takes over owner, mode and attributes of the old one;
    without an old one the umask decides. What is no regular file is written to. So is a file that
    may be written and not be replaced, if there is room.

    Args:
        path: What is written.
        synced: Whether it has to outlive a power failure.
    """
    if is_stream(path):
        with _open_stream(path) as file:
            yield file
        return
    there, target = _standing(path), _target(path)
    if there is not None and not os.access(target, os.W_OK):
        raise _os_error(errno.EACCES)
    with _new_file(target, there) as (file, beside):
        yield file
        file.flush()
        if synced:
            os.fsync(file.fileno())
        if beside is None or not _replace(beside, target, there):
            _overwrite(target, file)


@contextmanager
def _new_file(
    target: Path, there: os.stat_result | None
) -> Iterator[tuple[IO[bytes], Path | None]]:
    """A file beside the target; one in memory where its directory takes none."""
    try:
        made = file_beside(target, 0o666 if there is None else 0o600)
    except OSError:
        if there is None:
            raise
        with os.fdopen(os.memfd_create("pixart-tui"), "w+b") as file:
            yield file, None
        return
    with made as (file, beside):
        yield file, beside


def _replace(beside: Path, target: Path, there: os.stat_result | None) -> bool:
    """Puts a file in the place of another like it; tells whether it can be."""
    try:
        if there is not None:
            _make_alike(beside, target, there)
        beside.replace(target)
    except OSError:  # the directory of another user, a file that is mounted by itself
        if there is None:
            raise
        return False
    return True


def _make_alike(beside: Path, target: Path, there: os.stat_result) -> None:
    new = beside.stat()
    if (new.st_uid, new.st_gid) != (there.st_uid, there.st_gid):
        os.chown(beside, there.st_uid, there.st_gid)
    try:
        names = os.listxattr(target)
    except OSError:  # a file system without any
        names = []
    for name in names:
        value = os.getxattr(target, name)
        if name not in os.listxattr(beside) or os.getxattr(beside, name) != value:
            os.setxattr(beside, name, value)
    beside.chmod(stat.S_IMODE(there.st_mode))


def _overwrite(target: Path, file: IO[bytes]) -> None:
    """Writes over a file where it stands, once there is room for all of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    with target.open("r+b") as old:
        before = old.seek(0, os.SEEK_END)
        old.seek(0)
        if size:
            try:
                os.posix_fallocate(old.fileno(), 0, size)
            except OSError:
                old.truncate(before)
                raise
        try:
            shutil.copyfileobj(file, old)
            old.truncate(size)
            old.flush()
            os.fsync(old.fileno())
        except OSError as error:
            raise WorkError(
                f"{target} is damaged: writing it failed half-way",
                cause=f"{error.strerror}; nothing could be put in its place as a whole",
                next_step="name another place",
            ) from error


def _open_stream(path: Path) -> IO[bytes]:
    number = descriptor_of(path)
    return path.open("wb") if number is None else os.fdopen(os.dup(number), "wb")


def _standing(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _target(path: Path) -> Path:
    """Where a path leads, symbolic links followed, whether anything is there or not."""
    return Path(os.path.realpath(path))


def _check_parent(target: Path) -> None:
    """Refuses a directory that is not there and cannot be made, or takes no such file."""
    directory = target.parent
    while not directory.exists():
        directory = directory.parent
    if not directory.is_dir():
        raise _os_error(errno.ENOTDIR)
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _os_error(errno.EACCES)
    if len(os.fsencode(target.name)) > os.pathconf(directory, "PC_NAME_MAX"):
        raise _os_error(errno.ENAMETOOLONG)


def _os_error(number: int) -> OSError:
    return OSError(number, os.strerror(number))
