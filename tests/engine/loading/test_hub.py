from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading import load_pipeline
from tests.engine.loading.conftest import CPU, load

SCRIPT = """
import json, sys, torch
from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.loading import load_pipeline
for name in sys.argv[1:]:
    try:
        load_pipeline(name, dtype=torch.float32, device=torch.device("cpu"))
    except RequestError as error:
        print(json.dumps([error.title, error.cause, error.next_step]))
"""


class _Hub(BaseHTTPRequestHandler):
    """Answers as the Hub does about a repository that is gated, or not there."""

    def do_GET(self) -> None:
        gated = "org/gated" in self.path
        self.send_response(403 if gated else 404)
        self.send_header("X-Error-Code", "GatedRepo" if gated else "RepoNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def endpoint() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture
def offline_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_what_the_hub_refuses_is_told_and_the_screen_stays_clean(
    endpoint: str, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HUB_CACHE": str(tmp_path),
        "HF_HUB_OFFLINE": "0",
        "NO_PROXY": "127.0.0.1",
    }
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "org/missing", "org/gated"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    missing, gated = (json.loads(line) for line in done.stdout.splitlines())
    assert missing[0] == "the Hugging Face Hub has no model org/missing"
    assert f"{endpoint}/org/missing" in missing[1]
    assert gated[0] == "access to org/gated must be asked for"
    assert "hf auth login" in gated[2]
    assert done.stderr == ""


@pytest.mark.parametrize("local_files_only", [True, False])
def test_offline_names_the_cache_and_the_way_out(
    offline_cache: Path, local_files_only: bool
) -> None:
    with pytest.raises(RequestError) as caught:
        load_pipeline(
            "PixArt-alpha/PixArt-XL-2-1024-MS",
            dtype=torch.float32,
            device=CPU,
            local_files_only=local_files_only,
        )
    assert str(offline_cache) in caught.value.cause
    assert "hf download PixArt-alpha/PixArt-XL-2-1024-MS" in caught.value.next_step
    assert all("\n" not in line and len(line) < 500 for line in caught.value.lines())


def test_a_cached_model_loads_offline(offline_cache: Path, alpha_master: Path) -> None:
    repository = offline_cache / "models--org--tiny"
    shutil.copytree(alpha_master, repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    loaded = load("org/tiny")
    assert loaded.name == "org/tiny"
    assert loaded.source == str(repository / "snapshots" / ("0" * 40))
    assert loaded.fingerprint == load(alpha_master).fingerprint


def test_a_directory_goes_before_a_hub_id(
    model_directory: Path, monkeypatch: pytest.MonkeyPatch, offline_cache: Path
) -> None:
    monkeypatch.chdir(model_directory.parent.parent)
    name = f"{model_directory.parent.name}/{model_directory.name}"
    assert load(name).source == name
