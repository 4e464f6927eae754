"""The example runs for real, on a small model."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest

from pixart_tui.domain.lora import find_lora
from pixart_tui.runs.results.profile_files import read_profile_file
from tests.engine.loading.loras import MODEL, diffusers_file, random_halves

EXAMPLE = Path(__file__).parents[2] / "examples" / "lora.py"


def test_the_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    style = diffusers_file(tmp_path / "style.safetensors", random_halves())
    monkeypatch.chdir(tmp_path)
    words = ["--model", MODEL, "--scale", "0.5", "--steps", "2", "--draws", "2", "--device", "cpu"]
    monkeypatch.setattr(sys, "argv", [str(EXAMPLE), str(style), *words, "--prompt", "owl"])

    runpy.run_path(str(EXAMPLE))

    told = capsys.readouterr().out
    assert told.startswith("merging style.safetensors x 0.5, sha256 ")
    assert " layers are chosen in both" in told
    saved = read_profile_file(tmp_path / "lora_fp8_e4m3.json")
    assert saved.conditions.lora == find_lora(style, 0.5)
