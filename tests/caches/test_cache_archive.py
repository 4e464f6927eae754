"""Archives go round unharmed, and nothing that an archive says leads out of the cache."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pixart_tui.caches.cache_archive import (
    SCHEMA_VERSION,
    FileRecord,
    Manifest,
    load_archive,
    save_archive,
)
from pixart_tui.caches.compile_cache import Amount, CompileCache, compile_root
from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.machine.machine_kind import MachineKind
from tests.caches.cache_samples import CACHE, KIND, paths_in_group, read, triton_kernel, write
from tests.caches.test_compile_cache import largest_file

_FILES = {"inductor/fxgraph/a/b": b"graph", "triton/K/kernel.cubin": b"\x00\x01" * 500}
_PARTS = st.text("abcXYZ019_-.ü ", min_size=1, max_size=12).filter(
    lambda part: not part.startswith((".", "tmp.")) and not part.endswith(".lock")
)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    write(CACHE.directory, _FILES)
    path = tmp_path / "cache.tar.gz"
    save_archive(CACHE, path)
    return path


@contextmanager
def _elsewhere() -> Iterator[Path]:
    """Another cache root and a folder for archives, for one example of a property."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXART_TUI_CACHE", f"{folder}/cache")
        yield Path(folder)


@st.composite
def _caches(draw: st.DrawFn) -> dict[str, bytes]:
    """Files at one depth each, so that none is another's folder."""
    folders = draw(st.sets(_PARTS, min_size=1, max_size=4))
    found = {}
    for folder in sorted(folders):
        top = draw(st.sampled_from(("inductor", "triton")))
        found[f"{top}/{folder}/{draw(_PARTS)}"] = draw(st.binary(max_size=2000))
    return {name: content for name, content in found.items() if "/locks/" not in name}


@given(files=_caches().filter(bool))
@settings(max_examples=40, deadline=None)
def test_an_archive_brings_back_what_was_saved(files: dict[str, bytes]) -> None:
    with _elsewhere() as folder:
        write(CACHE.directory, files)
        saved = save_archive(CACHE, folder / "x.tar.gz")
        assert saved == Amount(len(files), sum(map(len, files.values())))
        CACHE.clear()
        assert load_archive(CACHE, folder / "x.tar.gz") == saved
        assert read(CACHE.directory) == files
        assert [path.name for path in compile_root().iterdir()] == [KIND.key]


def test_the_same_cache_gives_the_same_bytes(archive: Path, tmp_path: Path) -> None:
    save_archive(CACHE, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == archive.read_bytes()


def test_triton_finds_its_kernels_where_they_were_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CACHE.directory, triton_kernel(CACHE.directory))
    save_archive(CACHE, tmp_path / "x")
    monkeypatch.setenv("PIXART_TUI_CACHE", str(tmp_path / "other"))
    load_archive(CACHE, tmp_path / "x")
    found = paths_in_group(CACHE.directory)
    assert all(path.is_relative_to(tmp_path / "other") and path.is_file() for path in found)


def test_loading_adds_to_what_is_there(archive: Path) -> None:
    CACHE.clear()
    write(CACHE.directory, {"inductor/mine": b"1"})
    load_archive(CACHE, archive)
    assert read(CACHE.directory) == _FILES | {"inductor/mine": b"1"}


def test_nothing_to_save_is_said(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="no compile cache"):
        save_archive(CACHE, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_full_disk_keeps_the_older_archive(archive: Path) -> None:
    before = archive.read_bytes()
    write(CACHE.directory, {"inductor/big": bytes(range(256)) * 4096})
    with largest_file(100), pytest.raises(WorkError):
        save_archive(CACHE, archive)
    assert archive.read_bytes() == before
    assert list(archive.parent.glob(".cache.tar.gz*")) == []


def test_a_full_disk_keeps_the_cache(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    CACHE.clear()
    write(CACHE.directory, {"inductor/mine": b"1"})
    with largest_file(100), pytest.raises(WorkError):
        load_archive(CACHE, archive)
    assert read(compile_root()) == {f"{KIND.key}/inductor/mine": b"1"}
    usage = type("Usage", (), {"free": 10})
    monkeypatch.setattr("shutil.disk_usage", lambda _path: usage)
    with pytest.raises(WorkError, match="no room"):
        load_archive(CACHE, archive)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"device_name": "NVIDIA A100"}, "device Sample GPU 80GB, not NVIDIA A100"),
        ({"compute_capability": ""}, "compute capability 9.0, not none"),
        ({"versions": KIND.versions | {"torch": "2.13.0"}}, "torch 2.11.0, not 2.13.0"),
        ({"versions": {}}, "torch 2.11.0, not none; triton 3.6.0, not none"),
    ],
)
def test_another_kind_of_machine_is_told_what_differs(
    tmp_path: Path, change: dict[str, object], said: str
) -> None:
    other = CompileCache(MachineKind.model_validate(KIND.model_dump() | change))
    write(other.directory, _FILES)
    save_archive(other, tmp_path / "x")
    with pytest.raises(RequestError, match="another kind of machine") as caught:
        load_archive(CACHE, tmp_path / "x")
    assert said in caught.value.cause
    assert not CACHE.directory.exists()


# Hostile and damaged archives


def _record(content: bytes) -> FileRecord:
    return FileRecord(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())


def _manifest(files: Mapping[str, bytes], **changes: object) -> bytes:
    fields: dict[str, object] = {
        "schema_version": SCHEMA_VERSION,
        "pixart_tui": "0",
        "kind": KIND,
        "files": {name: _record(content) for name, content in files.items()},
    }
    # Unchecked: a hostile archive does not ask first.
    return Manifest.model_construct(**(fields | changes)).model_dump_json().encode()  # type: ignore[arg-type]


def _member(name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    member.type = kind
    return member


def _packed(*members: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        for member, content in members:
            packed.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _archive_of(files: Mapping[str, bytes], manifest: bytes | None = None) -> bytes:
    head = _manifest(files) if manifest is None else manifest
    members = [(_member(name, content), content) for name, content in files.items()]
    return _packed((_member("manifest.json", head), head), *members)


def _with_link(kind: bytes) -> bytes:
    head = _manifest({"inductor/x": b""})
    link = _member("inductor/x", kind=kind)
    link.linkname = "/etc/passwd"
    return _packed((_member("manifest.json", head), head), (link, b""))


def _twice() -> bytes:
    head = _manifest({"inductor/x": b"1"})
    member = (_member("inductor/x", b"1"), b"1")
    return _packed((_member("manifest.json", head), head), member, member)


def _huge_header() -> bytes:
    """A long name of 1 GiB, which tarfile would read into memory at once."""
    size = 1 << 30
    header = _member("x", kind=tarfile.GNUTYPE_LONGNAME)
    header.size = size
    return gzip.compress(header.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))


_NAMES = (
    "../inductor/x",
    "inductor/../../x",
    "/etc/x",
    "inductor//x",
    "inductor/./x",
    "inductor/.x",
    "inductor\\x",
    "inductor",
    "other/x",
    "inductor/a\nb",
    "inductor/" + 300 * "x",
    "",
)
_HOSTILE: dict[str, Callable[[], bytes]] = {
    **{f"name {name!r}": lambda name=name: _archive_of({name: b"1"}) for name in _NAMES},  # type: ignore[misc]
    "symbolic link": lambda: _with_link(tarfile.SYMTYPE),
    "hard link": lambda: _with_link(tarfile.LNKTYPE),
    "device": lambda: _with_link(tarfile.CHRTYPE),
    "pipe": lambda: _with_link(tarfile.FIFOTYPE),
    "folder": lambda: _with_link(tarfile.DIRTYPE),
    "member twice": _twice,
    "member that the manifest does not name": lambda: _archive_of(
        {"inductor/x": b""}, _manifest({})
    ),
    "member that is missing": lambda: _archive_of({}, _manifest({"inductor/x": b""})),
    "other content": lambda: _archive_of({"inductor/x": b"1"}, _manifest({"inductor/x": b"2"})),
    "other size": lambda: _archive_of({"inductor/x": b"1"}, _manifest({"inductor/x": b"12"})),
    "file and folder": lambda: _archive_of({"inductor/x": b"1", "inductor/x/y": b"2"}),
    "no manifest": lambda: _packed((_member("inductor/x"), b"")),
    "manifest that is no JSON": lambda: _archive_of({}, b"{"),
    "manifest without a kind": lambda: _archive_of({}, b'{"schema_version": 1}'),
    "newer format": lambda: _archive_of({}, _manifest({}, schema_version=99)),
    "negative size": lambda: _archive_of(
        {}, _manifest({"inductor/x": b""}).replace(b'"size_bytes":0', b'"size_bytes":-1')
    ),
    "huge header": _huge_header,
    "empty file": lambda: b"",
    "empty gzip": lambda: gzip.compress(b""),
    "no gzip": lambda: b"PK\x03\x04" + bytes(100),
    "gzip of noise": lambda: gzip.compress(bytes(range(256)) * 10),
}


@pytest.mark.parametrize("name", _HOSTILE)
def test_a_hostile_archive_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    write(CACHE.directory, {"inductor/mine": b"1"})
    before = read(tmp_path)
    path = tmp_path / "hostile"
    path.write_bytes(_HOSTILE[name]())
    with pytest.raises(RequestError) as caught:
        load_archive(CACHE, path)
    lines = caught.value.lines()
    assert 2 <= len(lines) <= 5
    assert all("\n" not in line for line in lines)
    path.unlink()
    assert read(tmp_path) == before


def test_a_header_cannot_ask_for_all_memory(tmp_path: Path) -> None:
    (tmp_path / "bomb").write_bytes(_huge_header())
    with pytest.raises(RequestError) as caught:
        load_archive(CACHE, tmp_path / "bomb")
    assert caught.value.cause == "a header of 1073741824 bytes"


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(RequestError, match="cannot be read"):
            load_archive(CACHE, path)


_WHOLE = _archive_of(_FILES)


@given(cut=st.integers(0, len(_WHOLE) - 1))
@example(cut=len(_WHOLE) - 9)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_archive_that_is_cut_off_anywhere_is_whole_or_refused(cut: int) -> None:
    _whole_or_refused(_WHOLE[:cut])


@given(at=st.integers(0, len(_WHOLE) - 1), byte=st.integers(0, 255))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_archive_with_a_wrong_byte_is_whole_or_refused(at: int, byte: int) -> None:
    _whole_or_refused(_WHOLE[:at] + bytes([byte]) + _WHOLE[at + 1 :])


def _whole_or_refused(content: bytes) -> None:
    with _elsewhere() as folder:
        (folder / "x").write_bytes(content)
        try:
            load_archive(CACHE, folder / "x")
        except RequestError:
            assert read(compile_root()) == {}
        else:
            assert read(CACHE.directory) == _FILES
