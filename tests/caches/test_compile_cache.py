from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pixart_tui.caches.compile_cache import Amount, cached_files, clear_all, merge
from pixart_tui.domain.errors import RequestError, WorkError
from tests.caches.cache_samples import (
    CACHE,
    GROUP,
    KIND,
    paths_in_group,
    read,
    triton_kernel,
    write,
)


@contextmanager
def largest_file(size_bytes: int) -> Iterator[None]:
    """Writing more to one file fails, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_caches_are_put_together_file_by_file(tmp_path: Path) -> None:
    write(tmp_path / "a", {"inductor/fxgraph/x": b"1", "triton/K/k.cubin": b"2"})
    write(tmp_path / "b", {"inductor/fxgraph/y": b"3"})
    CACHE.add(tmp_path / "a")
    CACHE.add(tmp_path / "b")
    expected = {"inductor/fxgraph/x": b"1", "triton/K/k.cubin": b"2", "inductor/fxgraph/y": b"3"}
    assert read(CACHE.directory) == expected
    assert CACHE.amount == Amount(3, 3)


def test_what_is_there_stays_and_measured_choices_are_renewed(tmp_path: Path) -> None:
    write(CACHE.directory, {"inductor/ab/x.py": b"old", "inductor/cache/0": b"old"})
    write(tmp_path, {"inductor/ab/x.py": b"new", "inductor/cache/0": b"new"})
    CACHE.add(tmp_path)
    assert read(CACHE.directory) == {"inductor/ab/x.py": b"old", "inductor/cache/0": b"new"}


def test_locks_links_and_unfinished_files_are_left_out(tmp_path: Path) -> None:
    litter = (
        "inductor/locks/x.lock",
        "inductor/a.lock",
        "triton/tmp.pid_1/k",
        "triton/.x",
        "tmp/y",
    )
    write(tmp_path, dict.fromkeys(litter, b"") | {"inductor/z": b""})
    (tmp_path / "inductor" / "link").symlink_to("/etc/passwd")
    assert [str(name) for name in cached_files(tmp_path)] == ["inductor/z"]


def test_the_headers_of_a_cpu_are_kept(tmp_path: Path) -> None:
    header = "tmp/torchinductor_me/precompiled_headers/c.h.gch"
    write(tmp_path, {header: b"1", "tmp/torchinductor_me/other": b"2"})
    CACHE.add(tmp_path)
    assert read(CACHE.directory) == {header: b"1"}


@pytest.mark.parametrize("move", [False, True])
def test_a_triton_kernel_names_its_files_where_they_lie(tmp_path: Path, *, move: bool) -> None:
    write(tmp_path / "a", triton_kernel(tmp_path / "a"))
    merge(tmp_path / "a", tmp_path / "b", move=move)
    found = paths_in_group(tmp_path / "b")
    assert len(found) == 2
    assert all(path.is_relative_to(tmp_path / "b") and path.is_file() for path in found)
    assert (tmp_path / "a/triton/ABC/kernel.cubin").exists() is not move


def test_a_damaged_group_is_left_out_so_that_triton_compiles_again(tmp_path: Path) -> None:
    write(tmp_path / "a", triton_kernel(tmp_path / "a") | {GROUP: b'{"child_paths": 3}'})
    merge(tmp_path / "a", tmp_path / "b")
    assert GROUP not in read(tmp_path / "b")


def test_a_process_gets_a_cache_of_its_own(tmp_path: Path) -> None:
    write(CACHE.directory, {"inductor/x": b"1"})
    CACHE.copy_to(tmp_path / "own")
    write(tmp_path / "own", {"inductor/x": b"2"})
    assert read(CACHE.directory) == {"inductor/x": b"1"}


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    write(CACHE.directory, {"inductor/x": b"1"})
    write(tmp_path, {"inductor/a": b"2", "inductor/big": bytes(1 << 20)})
    with largest_file(1000), pytest.raises(WorkError) as caught:
        CACHE.add(tmp_path)
    assert len(caught.value.lines()) <= 5
    assert read(CACHE.directory) == {"inductor/x": b"1", "inductor/a": b"2"}


def test_without_code_there_is_nothing_to_start_with() -> None:
    with pytest.raises(RequestError, match="no compile cache for Sample GPU"):
        CACHE.require()
    write(CACHE.directory, {"inductor/locks/x.lock": b""})
    with pytest.raises(RequestError):
        CACHE.require()
    write(CACHE.directory, {"inductor/x": b""})
    CACHE.require()


def test_clearing_tells_what_it_removed_and_leaves_other_kinds() -> None:
    other = type(CACHE)(KIND.replace(device_name="Other"))
    write(CACHE.directory, {"inductor/x": b"123", "triton/y": b"4"})
    write(other.directory, {"inductor/x": b"12"})
    assert CACHE.clear() == Amount(2, 4)
    assert not CACHE.directory.exists()
    assert CACHE.clear() == Amount(0, 0)
    assert other.amount == Amount(1, 2)
    assert clear_all() == Amount(1, 2)
    assert clear_all() == Amount(0, 0)
