"""What an attempt settles before its job begins."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from pixart_tui.caches import compile_places
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import AnyRequest, BenchRequest, GenerateRequest
from pixart_tui.worker.attempt import settle_places
from tests.worker import requests


@pytest.fixture
def _nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which compilers find no directory that they take."""
    directory = tmp_path / "my files"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    monkeypatch.setattr(compile_places, "_MORE_PLACES", ())
    for name in ("HOME", "PIXART_TUI_LOCKS", "PIXART_TUI_CACHE"):
        monkeypatch.setenv(name, str(directory))


@pytest.mark.usefixtures("_nowhere")
@pytest.mark.parametrize(
    "request_of_run",
    [
        BenchRequest(compilers=("none", "compile")),
        BenchRequest(matrix="onediff", compilers=("none",)),
        GenerateRequest(compiler="torch"),
        BenchRequest(compilers=("none",), device="cuda"),
    ],
)
def test_a_run_that_compiles_needs_a_place_for_it(request_of_run: AnyRequest) -> None:
    with pytest.raises(RequestError, match="no directory that compilers can work in"):
        settle_places(request_of_run)


@pytest.mark.usefixtures("_nowhere")
def test_a_run_that_compiles_nothing_goes_on(tmp_path: Path) -> None:
    before = dict(os.environ)
    plain = (BenchRequest(compilers=("none",)), GenerateRequest(compiler="none"))
    for request in (*plain, requests.profile(tmp_path), requests.verify(tmp_path)):
        settle_places(request)
    assert dict(os.environ) == before
