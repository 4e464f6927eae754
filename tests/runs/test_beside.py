"""What killed writers leave is cleared by the next one, and never what a living one is at."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pixart_tui.runs.beside import clear_beside, file_beside, folder_beside
from pixart_tui.runs.files import write_atomically

_WRITERS = {
    "file": (
        "import sys, time, pathlib\n"
        "from pixart_tui.runs.files import replacing\n"
        "with replacing(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half'); file.flush(); print('at it', flush=True); time.sleep(60)\n"
    ),
    "folder": (
        "import sys, time, pathlib\n"
        "from pixart_tui.runs.beside import folder_beside\n"
        "with folder_beside(pathlib.Path(sys.argv[1])) as folder:\n"
        "    (folder / 'weights').write_text('half'); print('at it', flush=True); time.sleep(60)\n"
    ),
}


def _start(kind: str, target: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", _WRITERS[kind], str(target)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "at it\n"
    return process


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


@pytest.mark.parametrize("name", ["f.json", "x" * 255])
@pytest.mark.parametrize("kind", _WRITERS)
def test_the_next_writer_clears_what_a_killed_one_left(
    kind: str, name: str, tmp_path: Path
) -> None:
    target = tmp_path / name
    _kill(_start(kind, target))
    assert len(list(tmp_path.iterdir())) == 1
    write_atomically(target, "whole")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_text() == "whole"


@pytest.mark.parametrize("kind", _WRITERS)
def test_what_a_living_writer_is_at_stays(kind: str, tmp_path: Path) -> None:
    target = tmp_path / "f"
    process = _start(kind, target)
    process.send_signal(signal.SIGSTOP)
    try:
        (at_it,) = tmp_path.iterdir()
        write_atomically(target, "whole")
        assert sorted(tmp_path.iterdir()) == sorted([at_it, target])
    finally:
        _kill(process)
    clear_beside(target)
    assert list(tmp_path.iterdir()) == [target]


def test_only_one_s_own_is_cleared(tmp_path: Path) -> None:
    others = [
        ".f.json.0123abcd",  # as other programs name theirs
        ".f.json.bak.0123abcd.pixart-tui",  # of f.json.bak
        ".g.json.0123abcd.pixart-tui",
        "f.json.0123abcd.pixart-tui",
    ]
    for name in others:
        (tmp_path / name).touch()
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".f.json.0123abcd.pixart-tui").symlink_to("precious")
    clear_beside(tmp_path / "f.json")
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == sorted([*others, "precious", ".f.json.0123abcd.pixart-tui"])
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root could remove them")
def test_root_leaves_those_of_other_users(tmp_path: Path) -> None:
    left = tmp_path / ".f.0123abcd.pixart-tui"
    left.touch()
    os.chown(left, 1234, 1234)
    clear_beside(tmp_path / "f")
    assert left.exists()


def test_nothing_stays_of_what_was_not_finished(tmp_path: Path) -> None:
    with file_beside(tmp_path / "f", 0o600) as (file, path):
        file.write(b"x")
        assert path.exists()
    with folder_beside(tmp_path / "d") as folder:
        (folder / "x").touch()
    assert list(tmp_path.iterdir()) == []
    clear_beside(tmp_path / "not there" / "f")
