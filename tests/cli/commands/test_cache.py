"""``pixart-tui cache``, on the cache of this machine's own kind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pixart_tui.caches.compile_cache import CompileCache
from pixart_tui.cli.main import main
from tests.caches.cache_samples import CACHE, read, write

_FILES = {"inductor/fxgraph/x": b"graph", "triton/K/k.cubin": b"12"}


@pytest.fixture
def mine() -> CompileCache:
    cache = CompileCache.of("cpu")
    write(cache.directory, _FILES)
    return cache


def _run(*arguments: str) -> int:
    return main(["cache", *arguments, "--device", "cpu"])


def test_save_clear_and_load(
    mine: CompileCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cache.tar.gz"
    assert _run("save", str(file)) == 0
    assert _run("clear") == 0
    assert not mine.directory.exists()
    assert _run("load", str(file)) == 0
    assert read(mine.directory) == _FILES
    assert capsys.readouterr().out.splitlines() == [
        f"wrote {file}: 2 files, 7 bytes",
        f"removed 2 files, 7 bytes from {mine.directory}",
        f"loaded 2 files, 7 bytes into {mine.directory}",
    ]


def test_info_in_words_and_as_json(mine: CompileCache, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run("info") == 0
    assert f"{mine.directory}: 2 files, 7 bytes\nmade for " in capsys.readouterr().out
    assert _run("info", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["files"], found["size_bytes"]) == (2, 7)
    assert found["directory"] == str(mine.directory)
    assert found["versions"]["torch"]


def test_clear_leaves_other_kinds_unless_asked(mine: CompileCache) -> None:
    write(CACHE.directory, _FILES)
    assert _run("clear") == 0
    assert read(CACHE.directory) == _FILES
    assert _run("clear", "--all") == 0
    assert not mine.directory.exists()
    assert not CACHE.directory.exists()


def test_what_cannot_be_done_is_said_in_a_few_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "noise").write_bytes(b"noise")
    for arguments in (
        ("save", str(tmp_path / "x")),
        ("load", str(tmp_path / "none")),
        ("load", str(tmp_path / "noise")),
    ):
        assert _run(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert len(err.splitlines()) <= 5


def test_a_warm_benchmark_needs_a_cache(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--warm-cache", "--device", "cpu"]) == 2
    assert "no compile cache" in capsys.readouterr().err


def test_no_torch_is_loaded(tmp_path: Path) -> None:
    code = (
        "import sys; from pixart_tui.cli.main import main; main(['cache', 'info']);"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, cwd=tmp_path)


@pytest.mark.parametrize("command", ["save", "load", "clear", "info"])
def test_every_subcommand_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", command, "--help"]) == 0
    assert f"pixart-tui cache {command}" in capsys.readouterr().out
