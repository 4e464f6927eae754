"""Keeping pictures small, how two differ, and several side by side."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pixart_tui.domain.errors import RequestError
from pixart_tui.runs.results.pictures import (
    LAYER_SIDE,
    SideBySide,
    difference,
    keep_picture,
    read_image,
    reduced,
    side_by_side,
    write_image,
)


def _noise(width: int, height: int, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def test_a_kept_picture_is_lossless_at_its_size(tmp_path: Path) -> None:
    image = _noise(1024, 512)

    assert not keep_picture(tmp_path / "new" / "a.webp", image, LAYER_SIDE)

    kept = read_image(tmp_path / "new" / "a.webp")
    assert kept.size == (224, 112)
    assert np.array_equal(np.asarray(kept), np.asarray(reduced(image, LAYER_SIDE)))
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.webp"]


def test_a_small_picture_is_kept_as_it_is(tmp_path: Path) -> None:
    keep_picture(tmp_path / "a.webp", _noise(128, 128), LAYER_SIDE)

    assert np.array_equal(np.asarray(read_image(tmp_path / "a.webp")), np.asarray(_noise(128, 128)))


def test_290_layers_of_a_full_size_model_stay_below_30_mb(tmp_path: Path) -> None:
    with as_file(files("textual_image") / "gracehopper.jpg") as path:
        photograph = read_image(path).crop((0, 0, 500, 500)).resize((1024, 1024))

    keep_picture(tmp_path / "a.webp", photograph, LAYER_SIDE)

    assert 40_000 < (tmp_path / "a.webp").stat().st_size < 30_000_000 / 290


def test_a_full_disk_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pixart_tui.runs.files.os.fsync", full)

    assert "could not be written" in keep_picture(tmp_path / "a.webp", _noise(16, 16), LAYER_SIDE)

    assert "No space left on device" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_difference_is_amplified_by_a_power_of_two() -> None:
    image = Image.new("RGB", (32, 32), (100, 100, 100))
    reference = Image.new("RGB", (32, 32), (107, 100, 98))

    found = difference(image, reference)

    assert found.factor == 32
    assert found.image.getpixel((5, 5)) == (7 * 32, 0, 2 * 32)


@pytest.mark.parametrize(("other", "factor"), [((100, 100, 100), 1), ((228, 100, 100), 1)])
def test_equal_or_very_different_images_are_not_amplified(
    other: tuple[int, int, int], factor: int
) -> None:
    image = Image.new("RGB", (32, 32), (100, 100, 100))

    found = difference(image, Image.new("RGB", (32, 32), other))

    assert found.factor == factor
    assert found.image.getpixel((0, 0)) == tuple(abs(a - 100) for a in other)


def test_one_pixel_that_differs_is_seen() -> None:
    image = Image.new("RGB", (64, 64), (100, 100, 100))
    reference = image.copy()
    reference.putpixel((3, 4), (101, 100, 100))

    found = difference(image, reference)

    assert found.factor == 128
    assert found.image.getpixel((3, 4)) == (128, 0, 0)


def test_the_sheet_holds_every_picture_at_its_place() -> None:
    reference, image = _noise(300, 200, 1), _noise(300, 200, 2)

    rows = [SideBySide(image, reference, "x" * 500), SideBySide(reference, reference, "")]
    sheet = side_by_side(rows, ("a", "b"), 512)

    assert sheet.size == (3 * 300 + 4 * 8, 2 * (200 + 2 * 20 + 2 * 8))
    top = 8 + 2 * 20
    assert np.array_equal(np.asarray(sheet)[top : top + 200, 8:308], np.asarray(reference))
    assert np.array_equal(np.asarray(sheet)[top : top + 200, 316:616], np.asarray(image))
    second = 256 + top
    assert not np.asarray(sheet)[second : second + 200, 624:924].any()


def test_small_pictures_are_made_larger_by_whole_pixels() -> None:
    reference = _noise(64, 64)

    sheet = side_by_side([SideBySide(reference, reference, "")], ("a", "b"), 512)

    cell = np.asarray(sheet)[48 : 48 + 256, 8 : 8 + 256]
    assert np.array_equal(cell[::4, ::4], np.asarray(reference))
    assert np.array_equal(cell[3::4, 3::4], np.asarray(reference))


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".jpeg"])
def test_a_picture_is_written_in_the_format_of_its_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"

    write_image(path, _noise(32, 32))

    with Image.open(path) as image:
        assert image.format == {".png": "PNG", ".webp": "WEBP"}.get(suffix, "JPEG")
    lossless = np.array_equal(np.asarray(read_image(path)), np.asarray(_noise(32, 32)))
    assert lossless == (suffix in (".png", ".webp"))


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\nbroken", None])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.png"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(RequestError, match="cannot be read as an image"):
        read_image(path)


def test_a_torn_image_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    _noise(64, 64).save(path)
    path.write_bytes(path.read_bytes()[:2000])

    with pytest.raises(RequestError, match="cannot be read as an image"):
        read_image(path)
