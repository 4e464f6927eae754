from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.files import write_atomically


def test_a_file_is_replaced_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "f.json"
    write_atomically(path, "one")
    write_atomically(path, b"two")
    assert path.read_text() == "two"
    assert list(path.parent.iterdir()) == [path]


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


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkError, match="could not be written"):
        write_atomically(tmp_path / "file" / "f.json", "x")
