"""A compile cache as one file: carried to another machine of the same kind.

A gzipped tar. Its first member, ``manifest.json``, names the machine's kind and every file with
its size and SHA-256; nothing else is taken out of an archive. The hashes tell damage; they do not
tell who made it.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Annotated, Final

from pydantic import AfterValidator, Field, ValidationError

from pixart_tui import __version__
from pixart_tui.caches.compile_cache import (
    CARRIED,
    Amount,
    CompileCache,
    cached_files,
    compile_root,
    merge,
    unwritable,
)
from pixart_tui.domain.errors import RequestError, WorkError, first_line
from pixart_tui.domain.values import Value
from pixart_tui.machine.machine_kind import MachineKind
from pixart_tui.runs.beside import folder_beside
from pixart_tui.runs.files import replacing, telling

SCHEMA_VERSION: Final = 1
_MANIFEST: Final = "manifest.json"
_LARGEST_MANIFEST: Final = 32 << 20
_LONGEST_READ: Final = 64 << 20
_LONGEST_NAME: Final = 1024
_CHUNK: Final = 1 << 20
_DAMAGED: Final = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError)


class FileRecord(Value):
    """One file of an archive.

    Attributes:
        size_bytes: Its size.
        sha256: Hash of its content, in hexadecimal.
    """

    size_bytes: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


def _inside(name: str) -> str:
    """A path that stays where the cache's files lie.

    Raises:
        ValueError: It does not.
    """
    parts = name.split("/")
    plain = all(0 < len(part.encode()) < 256 and not part.startswith(".") for part in parts)
    odd = len(name) > _LONGEST_NAME or any(ord(x) < 32 or x == "\\" for x in name)
    if parts[0] not in CARRIED or len(parts) < 2 or not plain or odd:
        raise ValueError(f"{name!r} is no file of a compile cache")
    return name


class Manifest(Value):
    """The description in an archive.

    Attributes:
        schema_version: Of the archive's format.
        pixart_tui: The version that wrote it.
        kind: The kind of machine that can use it.
        files: Path below the cache's directory, with ``/``, to the file.
    """

    schema_version: int
    pixart_tui: str
    kind: MachineKind
    files: dict[Annotated[str, AfterValidator(_inside)], FileRecord]

    @property
    def amount(self) -> Amount:
        """Counts the archive's files and bytes."""
        return Amount(len(self.files), sum(record.size_bytes for record in self.files.values()))


def save_archive(cache: CompileCache, path: Path) -> Amount:
    """Writes a machine's compiled code to a file, or leaves what was there.

    Args:
        cache: What is written; C++ headers are left out, as a machine makes them in seconds.
        path: The archive.

    Returns:
        What it holds.

    Raises:
        RequestError: There is no compiled code.
        WorkError: The file cannot be written, or the cache changed meanwhile.
    """
    cache.require()
    with telling(path):
        manifest = _describe(cache)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as file:
            _write(cache.directory, manifest, file)
    return manifest.amount


def _describe(cache: CompileCache) -> Manifest:
    names = [name for name in cached_files(cache.directory) if name.parts[0] in CARRIED]
    return Manifest(
        schema_version=SCHEMA_VERSION,
        pixart_tui=__version__,
        kind=cache.kind,
        files={name.as_posix(): _record(cache.directory / name) for name in names},
    )


def _record(path: Path) -> FileRecord:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
        return FileRecord(size_bytes=file.tell(), sha256=digest.hexdigest())


def _write(directory: Path, manifest: Manifest, file: IO[bytes]) -> None:
    # The same cache gives the same bytes: no times, no names of users.
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        text = manifest.model_dump_json(indent=1).encode()
        archive.addfile(_member(_MANIFEST, len(text)), io.BytesIO(text))
        for name, record in manifest.files.items():
            content = (directory / name).read_bytes()
            if hashlib.sha256(content).hexdigest() != record.sha256:
                raise WorkError(
                    "the cache changed while it was saved", cause=name, next_step="save it again"
                )
            archive.addfile(_member(name, len(content)), io.BytesIO(content))


def _member(name: str, size_bytes: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = size_bytes
    return member


def load_archive(cache: CompileCache, path: Path) -> Amount:
    """Adds an archive's compiled code to this machine's.

    Everything is unpacked and checked beside the cache before its first file is touched.

    Args:
        cache: This machine's.
        path: The archive.

    Returns:
        What the archive holds.

    Raises:
        RequestError: It is no whole archive, or one for another kind of machine.
        WorkError: There is no room for it, or the cache cannot be written.
    """
    try:
        compile_root().mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(compile_root(), error) from error
    with (
        folder_beside(compile_root() / "loading") as beside,
        _reading(path) as archive,
    ):
        manifest = _read_manifest(archive, path)
        _check_kind(manifest.kind, cache.kind, path)
        _check_room(manifest.amount, path)
        _unpack(archive, manifest, beside)
        merge(beside, cache.directory, move=True)
    return manifest.amount


class _Bounded(gzip.GzipFile):
    """Refuses the huge reads that a header can ask tarfile for."""

    def read(self, size: int | None = -1) -> bytes:
        """At most ``_LONGEST_READ`` bytes at once."""
        if size is None or not 0 <= size <= _LONGEST_READ:
            raise tarfile.ReadError(f"a header of {size} bytes")
        return super().read(size)


@contextmanager
def _reading(path: Path) -> Iterator[tarfile.TarFile]:
    try:
        with _Bounded(path) as packed, tarfile.open(fileobj=packed, mode="r:") as archive:
            yield archive
    except _DAMAGED as error:
        reason = first_line(error)
        raise _damaged(path, reason or type(error).__name__) from error
    except OSError as error:
        if error.filename is not None and Path(str(error.filename)) == path:
            cause = error.strerror or str(error)
            raise RequestError(
                f"{path} cannot be read", cause=cause, next_step="check the name"
            ) from error
        raise WorkError(
            f"{path} could not be unpacked",
            cause=error.strerror or str(error),
            next_step="free some space or set PIXART_TUI_CACHE; the cache is as it was",
        ) from error


def _read_manifest(archive: tarfile.TarFile, path: Path) -> Manifest:
    member = archive.next()
    if member is None or member.name != _MANIFEST or not _is_plain(member):
        raise _damaged(path, f"it does not begin with {_MANIFEST}")
    if member.size > _LARGEST_MANIFEST:
        raise _damaged(path, f"its {_MANIFEST} is too large")
    text = b"".join(_chunks(archive, member))
    try:
        manifest = Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        raise _damaged(path, f"{_MANIFEST}: {first['msg']}") from error
    if manifest.schema_version != SCHEMA_VERSION:
        written = f"pixart-tui {manifest.pixart_tui}, format {manifest.schema_version}"
        raise RequestError(
            f"{path} is of another format", cause=written, next_step="save it with this version"
        )
    return manifest


def _check_kind(theirs: MachineKind, mine: MachineKind, path: Path) -> None:
    differences = mine.differences(theirs)
    if differences:
        raise RequestError(
            f"{path} was made for another kind of machine",
            cause=f"this one has {'; '.join(differences)}",
            next_step="compiled code only runs where it was made for: save one on such a machine",
        )


def _check_room(amount: Amount, path: Path) -> None:
    free = shutil.disk_usage(compile_root()).free
    if amount.size_bytes > free:
        needed = f"it holds {amount.size_bytes} bytes, {free} are free in {compile_root()}"
        raise WorkError(f"there is no room for {path}", cause=needed, next_step="free some space")


def _unpack(archive: tarfile.TarFile, manifest: Manifest, target: Path) -> None:
    """Takes out what the manifest names; its names were checked when it was read."""
    missing = dict(manifest.files)
    while (member := archive.next()) is not None:
        record = missing.pop(member.name, None)
        if record is None or not _is_plain(member) or member.size != record.size_bytes:
            raise ValueError(f"{member.name!r} is not what the manifest says")
        _extract(archive, member, record, target / PurePosixPath(member.name))
    if missing:
        raise ValueError(f"{next(iter(missing))!r} is missing")


def _extract(
    archive: tarfile.TarFile, member: tarfile.TarInfo, record: FileRecord, target: Path
) -> None:
    digest = hashlib.sha256()
    with _new_file(target) as file:
        for chunk in _chunks(archive, member):
            digest.update(chunk)
            file.write(chunk)
    if digest.hexdigest() != record.sha256:
        raise ValueError(f"{member.name!r} is damaged")


def _new_file(target: Path) -> IO[bytes]:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return target.open("xb")
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{target.name!r} is a file and a folder") from error


def _chunks(archive: tarfile.TarFile, member: tarfile.TarInfo) -> Iterator[bytes]:
    content = archive.extractfile(member)
    if content is None:
        raise ValueError(f"{member.name!r} is no file")
    left = member.size
    while left:
        chunk = content.read(min(_CHUNK, left))
        if not chunk:
            raise EOFError(f"{member.name!r} is cut off")
        left -= len(chunk)
        yield chunk


def _is_plain(member: tarfile.TarInfo) -> bool:
    return member.type in (tarfile.REGTYPE, tarfile.AREGTYPE)


def _damaged(path: Path, reason: str) -> RequestError:
    return RequestError(
        f"{path} is no whole compile cache",
        cause=reason,
        next_step="copy it again, or save it again",
    )
