"""``compare`` of two files, and everything that is refused before any work starts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixart_tui.cli.main import main
from pixart_tui.runs.catalogue import list_runs
from pixart_tui.runs.results.pictures import read_image


def _image(path: Path, seed: int = 0, side: int = 32) -> Path:
    values = np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)
    Image.fromarray(values).save(path)
    return path


def _said(capsys: pytest.CaptureFixture[str]) -> str:
    told = capsys.readouterr()
    assert told.out == ""
    assert 1 <= len(told.err.splitlines()) <= 5
    return told.err


def test_two_images_give_the_field_s_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a = tmp_path / "a.png"
    b = tmp_path / "b.png"
    Image.new("RGB", (32, 32), (100, 100, 100)).save(a)
    Image.new("RGB", (32, 32), (151, 151, 151)).save(b)

    assert main(["compare", str(a), str(b)]) == 0

    # A constant error of 51 of 255: MAE 0.2, PSNR 20 log10(1 / 0.2).
    assert capsys.readouterr().out.splitlines() == [
        f"SSIM  {_luminance(100 / 255, 151 / 255):.6f}",
        "PSNR  13.98 dB",
        "MAE  0.200000 of 1",
    ]
    assert list_runs() == []


def _luminance(x: float, y: float) -> float:
    return (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)


def test_equal_images_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a = str(_image(tmp_path / "a.png"))

    assert main(["compare", a, a]) == 0

    assert "PSNR  infinite: the images are equal" in capsys.readouterr().out


def test_the_picture_and_its_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = _image(tmp_path / "a.png"), _image(tmp_path / "b.png", 1)
    output = tmp_path / "new" / "both.webp"

    assert main(["compare", str(a), str(b), "--output", str(output), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["side_by_side"] == str(output)
    assert set(found) == {"a", "b", "ssim", "psnr_db", "mae", "side_by_side"}
    sheet = np.asarray(read_image(output))
    assert np.array_equal(sheet[48 : 48 + 256 : 8, 8 : 8 + 256 : 8], np.asarray(read_image(a)))


def test_mirrored_16_bit_gradients_are_not_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deep = np.tile(np.linspace(0, 65535, 32), (32, 1)).astype(np.uint16)
    for name, values in (("a.png", deep), ("b.png", deep[:, ::-1])):
        Image.fromarray(np.ascontiguousarray(values)).save(tmp_path / name)

    assert main(["compare", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--json"]) == 0

    told = capsys.readouterr()
    assert json.loads(told.out)["ssim"] < 0.5
    assert told.err.count("its 16 bits a channel are compared by their upper 8") == 2


@pytest.mark.parametrize("name", ["BOTH.PNG", "both.WebP", "both.JPG"])
def test_endings_in_any_case(name: str, tmp_path: Path) -> None:
    a = str(_image(tmp_path / "a.png"))

    assert main(["compare", a, a, "--output", str(tmp_path / name)]) == 0

    assert read_image(tmp_path / name).size[0] > 32


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["a.png"], "two are needed"),
        (["a.png", "a.png", "a.png"], "two are needed"),
        (["a.png", "missing.png"], "No such file"),
        (["text.png", "a.png"], "cannot be read as an image"),
        (["a.png", "large.png"], "a.png is 32 x 32, large.png is 48 x 48"),
        (["tiny.png", "tiny.png"], "too small"),
        (["a.png", "."], "cannot be read as an image"),
        (["a.png", "a.png", "--output", "x.txt"], 'ends in ".txt"'),
        (["a.png", "a.png", "--output", "a.png/x.png"], "cannot be written"),
        (["a.png", "a.png", "--steps", "3"], "--steps does not go with two images"),
        (["a.png", "a.png", "--detach"], "--detach does not go with two images"),
        (["--output", "a.png/x.png"], "cannot be written"),
        (["--output", "picture"], 'ends in ""'),
        (["--quant-type", "fp9"], "fp9"),
        (["--height", "100"], "not a multiple of 16"),
        (["--quant-submodules-config-path", "missing.json"], "cannot be read"),
        (["--quant-submodules-config-path", "text.png"], "not a layer file"),
        (["--quant-submodules-config-path", "one.json", "--top-percentage", "0"], "no layer"),
        (["--quant-submodules-config-path", "one.json", "--layer", "a"], "both say which layers"),
    ],
)
def test_bad_input_is_refused_before_any_work(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, side in (("a.png", 32), ("large.png", 48), ("tiny.png", 4)):
        _image(tmp_path / name, side=side)
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "one.json").write_text('{"a": {"ssim": 0.9}}')
    before = sorted(path.name for path in tmp_path.iterdir())

    assert main(["compare", *arguments]) == 2

    assert words in _said(capsys)
    assert list_runs() == []
    assert sorted(path.name for path in tmp_path.iterdir()) == before
