"""A mixed selection, as ``bench`` and ``generate`` take it: real processes, int8 on a CPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from pixart_tui.cli.main import main
from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.domain.files import mixed_file
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.runs.paths import runs_root

_LAYERS = {
    "transformer_blocks.0.attn1.to_q": "int8_dynamic",
    "transformer_blocks.0.ff.net.2": "int8_weightonly",
    "transformer_blocks.1.attn2.to_v": "int8_weightonly",
    "proj_out": "int8_dynamic",
}
_TINY = ("--model", "synthetic:alpha-tiny", "--device", "cpu", "--steps", "4")
_SIZE = ("--height", "64", "--width", "64", "--repeats", "1", "--compiler", "none")


def _file(folder: Path, **changes: object) -> Path:
    path = folder / "mixed.selected.json"
    layers = {fqn: {"quant_type": name, "ssim": 0.9} for fqn, name in _LAYERS.items()}
    content: dict[str, object] = {
        "format": mixed_file.FORMAT,
        "layers": layers,
        "kept_steps": {"last": 1, "numbers": [2]},
        "at_every_step": ["proj_out"],
    }
    path.write_text(json.dumps(content | changes))
    return path


def _quantized(file: Path) -> tuple[str, ...]:
    return ("--quantize", "--quant-submodules-config-path", str(file))


def test_bench_deploys_it_and_says_what_it_is(tmp_path: Path) -> None:
    output, file = tmp_path / "bench.json", _file(tmp_path)
    asked = ["bench", *_TINY, *_SIZE, *_quantized(file), "--display", "none"]
    assert main([*asked, "--json", str(output)]) == 0
    _, row = BenchResult.model_validate_json(output.read_text()).rows
    assert row.label == "none+mixed+keep-last-1+keep-2"
    assert (row.case.quant_type, row.case.execution, row.case.quantized_layers) == (
        "mixed",
        "real",
        4,
    )
    assert row.case.layers_by_type == {"int8_dynamic": 2, "int8_weightonly": 2}
    assert (row.case.kept_steps, row.case.layers_at_kept_steps) == (
        KeptSteps(last=1, numbers=(2,)),
        1,
    )
    assert row.case.selection == "mixed.selected.json"
    assert row.figures.ssim is not None
    assert 0.9 < row.figures.ssim < 1
    report = output.with_suffix(".md").read_text()
    assert "mixed on 2 int8_dynamic, 2 int8_weightonly layers (mixed.selected.json)" in report
    assert "only 1 layer is quantized at the last 1 and number 2 of 4 steps" in report


def _generated(folder: Path, name: str, *more: str) -> Image.Image:
    output = folder / name
    asked = ("generate", *_TINY, "--scheduler", "none", "--warmups", "0", *more)
    assert main([*asked, "--output-image", str(output)]) == 0
    return Image.open(output)


def test_generate_keeps_its_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = _generated(tmp_path, "plain.png")
    kept = _generated(tmp_path, "kept.png", *_quantized(_file(tmp_path)))
    told = capsys.readouterr().err
    assert "layers by quant type: 2 int8_dynamic, 2 int8_weightonly" in told
    assert "only 1 layer is quantized at the last 1 and number 2 of 4 steps" in told
    every = _generated(tmp_path, "every.png", *_quantized(_file(tmp_path, kept_steps={})))
    for one, other in ((plain, kept), (kept, every)):
        assert ImageChops.difference(one, other).getbbox() is not None


def test_steps_that_leave_none_are_refused_for_the_images_that_are_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = _file(tmp_path, kept_steps={"last": 4})
    assert main(["generate", *_TINY, "--scheduler", "none", *_quantized(file)]) == 2
    assert "leaves none to quantize" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "more", "said"),
    [
        ("bench", ("--quantize-config", '{"quant_type": "int8_dynamic"}'), '"quant_type" would'),
        ("bench", ("--keep-last-steps", "1"), "--keep-last-steps would"),
        ("bench", ("--keep-steps", "2", "--keep-first-steps", "1"), "--keep-steps, --keep-first"),
        ("generate", ("--quantize-config", '{"top_percentage": 80}'), '"top_percentage" would'),
    ],
)
def test_an_option_that_contradicts_it_is_refused(
    tmp_path: Path,
    command: str,
    more: tuple[str, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([command, *_TINY, *_quantized(_file(tmp_path)), *more]) == 2
    told = capsys.readouterr().err
    assert "mixed.selected.json says itself what is quantized" in told
    assert said in told
    assert len(told.splitlines()) <= 5
    assert not runs_root().exists()
