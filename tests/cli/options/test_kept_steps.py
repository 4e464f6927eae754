"""Steps that stay in 16 bits, as ``bench`` takes them and shows them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.runs.paths import runs_root

_LAST = ("--keep-last-steps", "1")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--keep-first-steps", "1"], "no row would keep steps"),
        (["--compiler", "torch", *_LAST], "no row would keep steps"),
        (["--matrix", "onediff", "--rows", "torch,compile", *_LAST], "no row would keep steps"),
        (["--quantize", "--keep-last-steps", "-1"], "-1"),
        (["--quantize", "--keep-last-steps", "some"], "some"),
        (["--quantize", "--steps", "3", "--keep-first-steps", "2", *_LAST], "leaves none"),
        (["--matrix", "onediff", "--steps", "1", *_LAST], "leaves none"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert len(printed.err.splitlines()) <= 5
    assert not runs_root().exists()


def _bench(output: Path, *more: str) -> BenchResult:
    model = ("--model", "synthetic:alpha-tiny", "--device", "cpu", "--display", "none")
    size = ("--height", "64", "--width", "64", "--repeats", "1", "--compiler", "none")
    assert main(["bench", "--quantize", *model, *size, *more, "--json", str(output)]) == 0
    return BenchResult.model_validate_json(output.read_text())


def test_the_row_shows_them_and_has_another_image(tmp_path: Path) -> None:
    """On the CPU in real child processes, where fp8 is simulated."""
    output = tmp_path / "bench.json"
    steps = ("--steps", "3")
    kept = _bench(output, *steps, *_LAST).rows
    every = _bench(tmp_path / "every.json", *steps).rows
    assert [row.case.kept_steps for row in kept] == [NO_STEPS, KeptSteps(last=1)]
    assert kept[1].label == f"{every[1].label}+keep-last-1"
    assert json.loads(output.read_text())["rows"][1]["kept_steps"] == {
        "first": 0,
        "last": 1,
        "numbers": [],
    }
    assert "nothing is quantized at the last 1 of 3 steps" in output.with_suffix(".md").read_text()
    assert kept[1].figures.ssim is not None
    assert kept[1].figures.ssim != every[1].figures.ssim


def test_steps_that_only_the_model_knows_are_checked_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = ("--model", "synthetic:alpha-tiny", "--device", "cpu", "--display", "plain")
    arguments = ["bench", "--quantize", *model, "--compiler", "none", "--keep-first-steps", "999"]
    assert main(arguments) == 2
    assert "leaves none to quantize" in capsys.readouterr().err
