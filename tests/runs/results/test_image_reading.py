"""Image files as users have them become RGB in one stated way each."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from pixart_tui.domain.errors import RequestError
from pixart_tui.runs.results.image_reading import read_any_image

_SIDE = 16
_DEEP = (np.arange(_SIDE * _SIDE).reshape(_SIDE, _SIDE) * 257).astype(np.uint16)


def _pixels(path: Path) -> npt.NDArray[np.uint8]:
    return np.asarray(read_any_image(path).image)


def _png16(channels: int, color_type: int) -> bytes:
    """A PNG with 16 bits a channel, which Pillow cannot write in color."""

    def chunk(name: bytes, data: bytes) -> bytes:
        whole = name + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    head = struct.pack(">IIBBBBB", _SIDE, _SIDE, 16, color_type, 0, 0, 0)
    rows = np.repeat(_DEEP[..., None], channels, axis=2).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


@pytest.mark.parametrize(("channels", "color_type"), [(1, 0), (3, 2)])
def test_of_16_bits_the_upper_8_are_taken(channels: int, color_type: int, tmp_path: Path) -> None:
    path = tmp_path / "deep.png"
    path.write_bytes(_png16(channels, color_type))

    assert np.array_equal(_pixels(path)[..., 0], _DEEP >> 8)
    assert read_any_image(path).notes == ("its 16 bits a channel are compared by their upper 8",)


def test_a_deep_portable_graymap(tmp_path: Path) -> None:
    path = tmp_path / "deep.pgm"
    path.write_bytes(f"P5 {_SIDE} {_SIDE} 65535\n".encode() + _DEEP.astype(">u2").tobytes())

    assert np.array_equal(_pixels(path)[..., 1], _DEEP >> 8)


def test_transparency_is_composed_on_white(tmp_path: Path) -> None:
    path = tmp_path / "clear.png"
    Image.new("RGBA", (8, 8), (255, 0, 0, 51)).save(path)

    assert _pixels(path)[0, 0].tolist() == [255, 204, 204]
    assert read_any_image(path).notes == ("its transparency is composed on white",)


def test_a_palette_with_a_transparent_color(tmp_path: Path) -> None:
    path = tmp_path / "palette.png"
    image = Image.new("P", (8, 8), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((0, 0), 0)
    image.save(path, transparency=0)

    assert _pixels(path)[0, :2].tolist() == [[255, 255, 255], [40, 50, 60]]


def test_cmyk(tmp_path: Path) -> None:
    path = tmp_path / "print.tif"
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(path)

    assert _pixels(path)[0, 0].tolist() == [255, 0, 0]
    assert "CMYK" in read_any_image(path).notes[0]


def test_exif_turns_it(tmp_path: Path) -> None:
    path = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (24, 16)).save(path, exif=exif)

    found = read_any_image(path)

    assert found.image.size == (16, 24)
    assert found.notes == ("it is turned as its EXIF orientation says",)


@pytest.mark.parametrize("suffix", ["gif", "webp", "png", "tif"])
def test_of_an_animation_the_first_image(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"moving.{suffix}"
    first, second = (Image.new("RGB", (8, 8), color) for color in ("#ff0000", "#0000ff"))
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    first.save(path, save_all=True, append_images=[second], **options)

    assert _pixels(path)[0, 0].tolist() == [255, 0, 0]
    assert "the first of its 2 images is compared" in read_any_image(path).notes


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_stated_meaning_are_refused(mode: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.tif"
    Image.new(mode, (8, 8)).save(path)

    with pytest.raises(RequestError, match="cannot be read as an image") as refused:
        read_any_image(path)

    assert mode in refused.value.cause


def test_a_cut_file_says_so(tmp_path: Path) -> None:
    path = tmp_path / "cut.png"
    path.write_bytes(_png16(3, 2)[:90])

    with pytest.raises(RequestError) as refused:
        read_any_image(path)

    assert "truncated" in refused.value.cause
