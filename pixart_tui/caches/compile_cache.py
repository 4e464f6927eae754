"""Compiled code that is kept: what Inductor and Triton wrote, one directory per kind of machine.

Both name their files by a hash of what they were made from, so that caches can be put together
file by file. Triton also lists the files of a kernel with absolute paths (``__grp__*.json``);
those are written anew wherever a cache is put.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from pixart_tui.caches.root import cache_root
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.domain.values import Value
from pixart_tui.machine.machine_kind import MachineKind, machine_kind
from pixart_tui.runs.beside import folder_beside
from pixart_tui.runs.files import replacing, write_atomically

CARRIED: Final = ("inductor", "triton")
"""The folders that an archive holds."""

_HEADERS: Final = "precompiled_headers"
"""C++ headers that Inductor compiles for a CPU: 150 MB that a machine makes in five seconds, so
they stay on it. They lie below the directory for temporary files, in a folder of the user's."""

_TUNINGS: Final = ("inductor", "cache")
"""Measured choices: files that grow, so the newer one is kept."""

_GROUP: Final = "__grp__"


class _TritonGroup(Value):
    child_paths: dict[str, str]


@dataclass(frozen=True, slots=True)
class Amount:
    """How much a cache holds."""

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class CompileCache:
    """The compiled code that this machine can use.

    Attributes:
        kind: The machine's kind.
    """

    kind: MachineKind

    @classmethod
    def of(cls, device: str) -> CompileCache:
        """The cache for a device of this machine: ``cpu`` or ``cuda:N``.

        Raises:
            RequestError: There is no such GPU.
        """
        return cls(machine_kind(device))

    @property
    def directory(self) -> Path:
        """Where it lies; it need not be there."""
        return compile_root() / self.kind.key

    @property
    def amount(self) -> Amount:
        """Counts the cache's files and bytes."""
        return measure_directory(self.directory)

    def require(self) -> None:
        """Checks that it holds compiled code.

        Raises:
            RequestError: It holds none.
        """
        if next(cached_files(self.directory), None) is None:
            raise RequestError(
                f"there is no compile cache for {self.kind.device_name}",
                cause=f"{self.directory} holds nothing",
                next_step="make one with: pixart-tui bench, or bring one: pixart-tui cache "
                "load FILE",
            )

    def add(self, source: Path) -> None:
        """Takes in the caches that a process left in a directory of its own.

        Raises:
            WorkError: It cannot be written; what it held before is untouched.
        """
        merge(source, self.directory)

    def copy_to(self, target: Path) -> None:
        """Gives a process caches of its own.

        Raises:
            WorkError: They cannot be written.
        """
        merge(self.directory, target)

    def clear(self) -> Amount:
        """Removes it and tells what it held."""
        return remove_directory(self.directory)


def compile_root() -> Path:
    """The directory of all kinds of machines."""
    return cache_root() / "compile"


def clear_all() -> Amount:
    """Removes the caches of every kind of machine and tells what they held."""
    return remove_directory(compile_root())


def cached_files(directory: Path) -> Iterator[Path]:
    """The files that are worth keeping, relative to the directory, in a fixed order."""
    for path in sorted(directory.rglob("*")):
        name = path.relative_to(directory)
        if _is_kept(name) and path.is_file() and not path.is_symlink():
            yield name


def _is_kept(name: Path) -> bool:
    if name.parts[0] not in CARRIED and _HEADERS not in name.parts:
        return False
    hidden = any(part.startswith((".", "tmp.")) for part in name.parts)
    return not hidden and "locks" not in name.parts and name.suffix != ".lock"


def merge(source: Path, target: Path, *, move: bool = False) -> None:
    """Puts the cached files of one directory into another, each whole or not at all.

    Args:
        source: Where they lie.
        target: Where they go; it may hold others, and be read and written by others meanwhile.
        move: Whether they may be taken out of ``source``, which is on the same file system.

    Raises:
        WorkError: A file cannot be written; what ``target`` held before is untouched.
    """
    try:
        for name in cached_files(source):
            if not (target / name).exists() or name.parts[:2] == _TUNINGS:
                _put(source / name, target / name, move=move)
    except OSError as error:
        raise unwritable(target, error) from error


def unwritable(target: Path, error: OSError) -> WorkError:
    """The cache cannot take what it is given."""
    return WorkError(
        f"the compile cache {target} could not be written",
        cause=error.strerror or str(error),
        next_step="free some space, or set PIXART_TUI_CACHE to another place",
    )


def _put(source: Path, target: Path, *, move: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.name.startswith(_GROUP):
        _put_group(source, target)
    elif move:
        source.replace(target)
    else:
        _copy(source, target)


def _put_group(source: Path, target: Path) -> None:
    """Names the files of a kernel where they lie now; see ``triton.runtime.cache``."""
    try:
        group = _TritonGroup.model_validate_json(source.read_bytes())
    except ValidationError:  # without it Triton compiles the kernel again
        return
    paths = {name: str(target.parent / Path(path).name) for name, path in group.child_paths.items()}
    write_atomically(target, _TritonGroup(child_paths=paths).model_dump_json())


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as original, replacing(target, synced=False) as file:
        shutil.copyfileobj(original, file)


def measure_directory(directory: Path) -> Amount:
    """Everything below a directory; nothing if it is not there."""
    sizes = [path.lstat().st_size for path in directory.rglob("*") if path.is_file()]
    return Amount(len(sizes), sum(sizes))


def remove_directory(directory: Path) -> Amount:
    """Removes a directory and tells what it held; readers see all of it or nothing."""
    if not directory.is_dir():
        return Amount(0, 0)
    with folder_beside(directory) as doomed:
        directory.rename(doomed / directory.name)
        return measure_directory(doomed)
