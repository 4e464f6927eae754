"""The examples, run as a user runs them, on a small model in diffusers' layout."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from PIL import Image

_EXAMPLES: Final = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from pixart_tui import load

    directory = tmp_path_factory.mktemp("model")
    load("synthetic:alpha-tiny", device="cpu").save_pretrained(directory)
    return directory


def _environment() -> dict[str, str]:
    root = str(_EXAMPLES.parent)
    return os.environ | {"PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}


def test_a_pipeline_is_optimized_and_restored(model: Path) -> None:
    ended = subprocess.run(
        [sys.executable, str(_EXAMPLES / "optimize.py"), str(model)],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    labels = [line.split(":")[0] for line in ended.stdout.splitlines()]
    assert labels == ["as loaded", "optimized", "restored"]
    assert "GiB of host memory keep the pipeline as it was" in ended.stderr


def test_a_distilled_model_and_pag_are_profiled_and_optimized(model: Path, tmp_path: Path) -> None:
    from pixart_tui import load

    load("synthetic:sigma-tiny", device="cpu").save_pretrained(tmp_path / "sigma")
    ended = subprocess.run(
        [
            sys.executable,
            str(_EXAMPLES / "distilled_and_pag.py"),
            str(model),
            str(tmp_path / "sigma"),
        ],
        capture_output=True,
        text=True,
        env=_environment(),
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert [line.split(":")[0] for line in ended.stdout.splitlines()] == ["distilled", "with PAG"]


@pytest.fixture(scope="module")
def address(model: Path) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, str(_EXAMPLES / "server.py"), str(model), "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=_environment() | {"STEPS": "2"},
    )
    assert server.stdout is not None
    yield server.stdout.readline().strip()
    server.kill()
    server.wait()
    server.stdout.close()


def _post(address: str, body: bytes) -> bytes:
    with urllib.request.urlopen(urllib.request.Request(address, body)) as answer:
        found: bytes = answer.read()
        return found


def test_requests_at_one_moment_are_each_answered(address: str) -> None:
    found: dict[int, bytes] = {}

    def ask(number: int) -> None:
        found[number] = _post(address, json.dumps({"prompt": f"apple {number}"}).encode())

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 5
    assert {Image.open(io.BytesIO(png)).format for png in found.values()} == {"PNG"}
    assert len(set(found.values())) == 5


def test_a_request_without_a_prompt_is_refused(address: str) -> None:
    for body in (b"", b"{}", b'{"prompt": 3}'):
        with pytest.raises(urllib.error.HTTPError, match="400"):
            _post(address, body)
