"""Where compilers work, whatever the directory for temporary files is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pixart_tui.caches import compile_places
from pixart_tui.caches.compile_places import compile_environment, why_not, working_root
from pixart_tui.domain.errors import RequestError


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory for temporary files with a blank in its name."""
    directory = tmp_path / "my files"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    monkeypatch.setenv("HOME", str(tmp_path))
    return directory


def test_a_usual_machine_needs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert compile_environment({}) == {}


def test_names_that_compilers_do_not_take(tmp_path: Path) -> None:
    assert why_not(tmp_path) == ""
    assert "blanks" in why_not(tmp_path / "my files")
    assert "blanks" in why_not(tmp_path / "a$b")


def test_a_mount_without_programs_gives_compilers_another_place(tmp_path: Path) -> None:
    code = (
        "import json, sys, pixart_tui.caches.compile_places as places;"
        "print(json.dumps([places.why_not(places.Path(sys.argv[1]) / 'x'),"
        " places.compile_environment({})]))"
    )
    mounted = 'mount -t tmpfs -o noexec none "$1" && exec "$0" -c "$2" "$1"'
    directory = tmp_path / "mounted"
    directory.mkdir()
    of_its_own = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*of_its_own, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this machine gives no namespaces")
    told = subprocess.run(
        [*of_its_own, "sh", "-c", mounted, sys.executable, str(directory), code],
        env={**os.environ, "TMPDIR": str(directory), "HOME": str(tmp_path)},
        check=True,
        capture_output=True,
        text=True,
    )
    reason, chosen = json.loads(told.stdout)
    assert reason == "it is mounted noexec"
    assert chosen == {
        "TMPDIR": str(tmp_path / "locks" / "tmp"),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "locks" / "inductor"),
    }


def test_a_blank_in_tmpdir_gives_compilers_another_place(temporary: Path, tmp_path: Path) -> None:
    found = compile_environment({})
    assert set(found) == {"TMPDIR", "TORCHINDUCTOR_CACHE_DIR"}
    for place in map(Path, found.values()):
        assert place.is_relative_to(tmp_path / "locks")
        assert place.is_dir()
        assert place.stat().st_mode & 0o777 == 0o700


def test_a_cache_that_somebody_chose_is_kept_where_it_can_work(
    temporary: Path, tmp_path: Path
) -> None:
    good, bad = str(tmp_path / "inductor"), str(temporary / "inductor")
    assert "TORCHINDUCTOR_CACHE_DIR" not in compile_environment({"TORCHINDUCTOR_CACHE_DIR": good})
    assert "TORCHINDUCTOR_CACHE_DIR" in compile_environment({"TORCHINDUCTOR_CACHE_DIR": bad})


def test_a_home_with_a_blank_gives_triton_another_place(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(temporary))
    assert "TRITON_CACHE_DIR" in compile_environment({})


def test_locks_that_cannot_hold_programs_give_way_to_the_next_place(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIXART_TUI_LOCKS", str(temporary))
    monkeypatch.setattr(compile_places, "_MORE_PLACES", (str(tmp_path),))
    assert working_root() == tmp_path / f"pixart-tui-{os.getuid()}"


def test_no_place_at_all_is_told_with_the_variables_that_help(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIXART_TUI_LOCKS", str(temporary))
    monkeypatch.setenv("PIXART_TUI_CACHE", str(temporary))
    monkeypatch.setattr(compile_places, "_MORE_PLACES", ())
    with pytest.raises(RequestError, match="no directory that compilers can work in") as caught:
        working_root()
    assert "TMPDIR or PIXART_TUI_LOCKS" in caught.value.next_step
