"""Bad input ends with exit code 2 and at most five lines, before any work is done."""

from __future__ import annotations

from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.runs.paths import runs_root

_BAD: dict[str, tuple[list[str], str]] = {
    "unknown command": (["profil"], "No such command"),
    "unknown flag": (["profile", "--color"], "--color"),
    "flag without its value": (["profile", "--quant-type"], "--quant-type"),
    "fp8 attention without the kernels": (["bench", "--fp8-attention"], "--compiler torch"),
    "unknown quant type": (["profile", "--quant-type", "fp8_e4m4_dynamic"], "fp8_e4m4_dynamic"),
    "steps that are no number": (["profile", "--steps", "many"], "many"),
    "no steps": (["profile", "--steps", "0"], "0"),
    "timesteps that are no numbers": (["profile", "--timesteps", "999,many"], "no timesteps"),
    "timesteps that ascend": (["compare", "--timesteps", "1,2"], "do not descend"),
    "steps and timesteps that disagree": (
        ["profile", "--steps", "3", "--timesteps", "999,499"],
        "3 steps and 2 timesteps disagree",
    ),
    "size that the model cannot have": (["profile", "--height", "100"], "multiple of 16"),
    "device that is not there": (["profile", "--device", "cuda:7"], "cuda:7"),
    "model directory that is not there": (["profile", "--model", "./nowhere"], "nowhere"),
    "empty prompt": (["profile", "--prompt", " "], "prompt is empty"),
    "prompts file that is not there": (["profile", "--prompts-file", "none.txt"], "none.txt"),
    "prompts file without a prompt": (["profile", "--prompts-file", "empty.txt"], "no prompt"),
    "prompts file that is no text": (["profile", "--prompts-file", "binary.txt"], "binary.txt"),
    "output that is a directory": (["profile", "--output", "."], "is a directory"),
    "output below a file": (["profile", "--output", "empty.txt/f.json"], "cannot be written"),
    "dashboard without a terminal": ([], "needs a terminal"),
    "no such run": (["attach", "last"], "no runs"),
    "profile that is not there": (["select", "none.json"], "none.json"),
    "profile that is damaged": (["select", "damaged.json"], "damaged.json"),
    "profile without its sidecar": (["select", "alone.json"], "alone.meta.json"),
    "two rules": (
        ["select", "alone.json", "--flops-share", "1", "--max-loss", "1"],
        "exclude each other",
    ),
    "unknown compiler": (["bench", "--compiler", "tensorrt"], "tensorrt"),
    "quantize config that is no JSON": (
        ["bench", "--quantize", "--quantize-config", "{quant_type: x}"],
        "--quantize-config",
    ),
    "quantize config with an unknown key": (
        ["bench", "--quantize", "--quantize-config", '{"quant": "x"}'],
        "unknown key",
    ),
    "percentage out of range": (
        ["bench", "--quantize", "--quantize-config", '{"top_percentage": 900}'],
        "out of range",
    ),
    "matrix and rows of one's own": (
        ["bench", "--matrix", "onediff", "--compiler", "compile"],
        "brings its own rows",
    ),
    "row that the matrix does not have": (
        ["bench", "--matrix", "onediff", "--rows", "none,fp4"],
        "no row 'fp4'",
    ),
    "rows without a matrix": (["bench", "--rows", "compile"], "needs --matrix"),
    "layers without --quantize": (
        ["bench", "--quant-submodules-config-path", "alone.json"],
        "need --quantize",
    ),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n# nothing but a comment\n")
    (tmp_path / "binary.txt").write_bytes(b"\x89PNG\x00\x80")
    (tmp_path / "damaged.json").write_text('{"proj_out": {"ssim": 0.9')
    (tmp_path / "alone.json").write_text('{"proj_out": {"ssim": 0.9}}')


@pytest.mark.parametrize("name", _BAD)
def test_bad_input(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments, said = _BAD[name]
    assert main(arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert err.startswith("error: ")
    assert len(err.splitlines()) <= 5
    assert "Traceback" not in err
    assert not runs_root().exists() or not list(runs_root().iterdir())
