from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.runs.files import (
    check_writable,
    descriptor_of,
    is_same_file,
    is_stream,
    make_parent,
    remove_file,
    replacing,
    write_atomically,
    write_with_companion,
)

_ROOT = os.geteuid() == 0
root_only = pytest.mark.skipif(not _ROOT, reason="only root can make devices and mounts")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(place)], check=False
    )
    if mounted.returncode:
        pytest.skip("nothing can be mounted here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@contextmanager
def _as_nobody() -> Iterator[None]:
    """Without root's rights."""
    if _ROOT:
        os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        if _ROOT:
            os.setresuid(0, 0, 0)


def _refused(path: Path) -> str:
    with pytest.raises(WorkError) as caught:
        write_atomically(path, "x")
    with pytest.raises(OSError, match="denied"):
        check_writable(path)
    return caught.value.cause


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "f.json"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


def test_a_reader_keeps_the_file_that_it_has_open(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text("one")
    with path.open() as reader:
        write_atomically(path, "two")
        assert reader.read() == "one"


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """The limit on a file's size stands in for the disk: writing fails half-way in both."""
    path = tmp_path / "f.json"
    path.write_text("old")
    script = (
        "import sys, pathlib, signal; from pixart_tui.runs.files import write_atomically\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "write_atomically(pathlib.Path(sys.argv[1]), 'x' * 100_000)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert "WorkError" in result.stderr
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@root_only
def test_a_really_full_disk_leaves_the_old_file_too(small_disk: Path) -> None:
    path = small_disk / "f.json"
    path.write_text("old")
    with pytest.raises(WorkError, match="could not be written") as caught:
        write_atomically(path, "x" * 100_000)
    assert caught.value.cause == "No space left on device"
    assert caught.value.next_step.startswith("free some space")
    assert path.read_text() == "old"
    assert list(small_disk.iterdir()) == [path]


@root_only
def test_a_file_that_is_mounted_by_itself_is_written_to(tmp_path: Path, small_disk: Path) -> None:
    """As ``docker run -v results.json:/results.json`` does: nothing can be renamed over it."""
    source, path = small_disk / "results.json", tmp_path / "results.json"
    source.write_text("a longer old text")
    path.touch()
    subprocess.run(["mount", "--bind", str(source), str(path)], check=True)
    try:
        write_atomically(path, "new")
        assert path.read_text() == source.read_text() == "new"
        with pytest.raises(WorkError, match="could not be written"):
            write_atomically(path, "x" * 100_000)
        assert source.read_text() == "new"
    finally:
        subprocess.run(["umount", str(path)], check=True)
    assert sorted(x.name for x in tmp_path.iterdir() if x.is_file()) == ["results.json"]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match="could not be written") as caught:
        write_atomically(tmp_path / "file" / "f.json", "x")
    assert "space" not in caught.value.next_step
    with pytest.raises(WorkError, match="could not be written"):
        write_with_companion(tmp_path / "file" / "f", "x", tmp_path / "file" / "f.meta", "x")


@root_only
@pytest.mark.parametrize("minor", [3, 7], ids=["null", "full"])
def test_a_device_stays_one(minor: int, tmp_path: Path) -> None:
    node = tmp_path / "n"
    os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, minor))
    if minor == 7:
        with pytest.raises(WorkError, match="could not be written"):
            write_atomically(node, "x")
    else:
        write_with_companion(node, "x", tmp_path / "n.meta.json", "about it")
    assert stat.S_ISCHR(node.stat().st_mode)
    assert list(tmp_path.iterdir()) == [node]


def test_a_named_pipe_gets_what_is_written_and_stays_one(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_text()))
    reader.start()
    assert write_with_companion(pipe, "text", tmp_path / "pipe.meta.json", "about") == (pipe,)
    reader.join()
    assert found == ["text"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_symbolic_link_is_followed_and_stays_one(tmp_path: Path) -> None:
    link, target = tmp_path / "link.json", tmp_path / "elsewhere" / "f.json"
    link.symlink_to(target)
    write_atomically(link, "one")  # nothing is there yet
    assert target.read_text() == "one"
    write_atomically(link, "two")
    assert target.read_text() == "two"
    assert link.is_symlink()
    assert sorted(tmp_path.iterdir()) == sorted([link, target.parent])
    assert list(target.parent.iterdir()) == [target]


def test_a_circle_of_links_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(WorkError, match="could not be written"):
        write_atomically(tmp_path / "a", "x")
    with pytest.raises(OSError, match="symbolic links"):
        check_writable(tmp_path / "a")


@pytest.mark.parametrize("path", ["/dev/fd/{}", "/proc/self/fd/{}", "link"])
def test_what_is_open_here_is_written_where_it_stands(path: str, tmp_path: Path) -> None:
    """A shell's ``>>`` stays one, which opening the file again would cut off."""
    log = tmp_path / "log"
    log.write_text("before\n")
    with log.open("a") as file:
        named = Path(path.format(file.fileno()))
        if path == "link":
            named = tmp_path / "link"
            named.symlink_to(f"/dev/fd/{file.fileno()}")
        assert descriptor_of(named) == file.fileno()
        assert is_stream(named)
        check_writable(named)
        write_with_companion(named, "after\n", tmp_path / "fd.meta.json", "about")
    assert log.read_text() == "before\nafter\n"
    assert not (tmp_path / "fd.meta.json").exists()


def test_what_is_open_for_reading_only_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with (tmp_path / "f").open() as file, pytest.raises(OSError, match="Bad file descriptor"):
        check_writable(Path(f"/dev/fd/{file.fileno()}"))


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_the_umask_decides_about_a_new_file(umask: int, mode: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "f", "x")
    finally:
        os.umask(before)
    assert _mode(tmp_path / "f") == mode


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_an_old_file_s_mode_is_kept(mode: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    path.chmod(mode)
    write_atomically(path, "new")
    assert _mode(path) == mode
    assert path.read_text() == "new"


@root_only
def test_root_leaves_a_file_to_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    os.chown(path, 1234, 1235)
    write_atomically(path, "new")
    found = path.stat()
    assert (found.st_uid, found.st_gid) == (1234, 1235)


def test_attributes_of_an_old_file_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    try:
        os.setxattr(path, "user.note", b"mine")
    except OSError:
        pytest.skip("this file system keeps no attributes")
    write_atomically(path, "new")
    assert os.getxattr(path, "user.note") == b"mine"


def test_a_file_that_may_be_written_in_a_directory_that_takes_none_is_written_to() -> None:
    with TemporaryDirectory() as name:  # nobody may not enter the directories of pytest
        folder = Path(name)
        path, closed = folder / "f.json", folder / "closed.json"
        path.write_text("a longer old text")
        path.chmod(0o666)
        closed.write_text("old")
        closed.chmod(0o444)
        folder.chmod(0o555)
        with _as_nobody():
            check_writable(path)
            write_atomically(path, "new")
            assert path.read_text() == "new"
            assert _refused(closed) == _refused(folder / "new.json") == "Permission denied"
        folder.chmod(0o777)
        with _as_nobody():
            # The directory would let it be replaced; its own mode says that it is not to be.
            assert _refused(closed) == "Permission denied"
        assert closed.read_text() == "old"
        assert sorted(x.name for x in folder.iterdir()) == ["closed.json", "f.json"]
        folder.chmod(0o755)


@pytest.mark.parametrize("length", [245, 246, 249, 250, 255])
@pytest.mark.parametrize("character", ["x", "é"])
def test_every_name_that_the_system_takes_is_taken(
    length: int, character: str, tmp_path: Path
) -> None:
    name = (character * length).encode()[:length].decode(errors="ignore")
    path = tmp_path / name.ljust(length - len(name.encode()) + len(name), "y")
    assert len(os.fsencode(path.name)) == length
    check_writable(path)
    write_atomically(path, "one")
    write_atomically(path, "two")
    assert [x.read_text() for x in tmp_path.iterdir()] == ["two"]


@pytest.mark.parametrize("folder", [".", "not-there-yet"])
def test_a_name_that_is_too_long_is_refused_beforehand(folder: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        check_writable(tmp_path / folder / ("x" * 256))


def test_a_socket_and_a_directory_are_refused_beforehand(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        check_writable(tmp_path)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "s"))
        with pytest.raises(OSError, match="it is a socket"):
            check_writable(tmp_path / "s")


def test_what_cannot_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("old")
    with suppress(ValueError), replacing(path) as file:
        file.write(b"half")
        raise ValueError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_one_file_is_known_by_every_name(tmp_path: Path) -> None:
    path, other = tmp_path / "f", tmp_path / "x" / ".." / "f"
    (tmp_path / "x").mkdir()
    assert is_same_file(path, other)  # not there yet
    path.touch()
    (tmp_path / "link").symlink_to(path)
    (tmp_path / "hard").hardlink_to(path)
    for name in ("link", "hard", "x/../f"):
        assert is_same_file(tmp_path / name, path)
    assert not is_same_file(tmp_path / "x", path)


def test_making_a_parent_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RequestError, match="cannot be written"):
        make_parent(tmp_path / "file" / "sub" / "f.json")


def test_removing_a_file_removes_what_its_killed_writers_left(tmp_path: Path) -> None:
    left = tmp_path / ".f.0123abcd.pixart-tui"
    for path in (tmp_path / "f", left, tmp_path / "other"):
        path.touch()
    remove_file(tmp_path / "f")
    remove_file(tmp_path / "not there")
    assert [x.name for x in tmp_path.iterdir()] == ["other"]
