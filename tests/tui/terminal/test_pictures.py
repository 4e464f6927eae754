from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from PIL import Image
from rich.console import Console

from pixart_tui.tui.terminal.pictures import (
    ImageMode,
    Pictures,
    choose_pictures,
    fitted,
    half_cells,
    picture,
)

_LOCAL = {"TERM": "xterm-256color"}


@pytest.mark.parametrize(
    "environ",
    [
        {"SSH_CONNECTION": "10.0.0.1 22 10.0.0.2 22"},
        {"SSH_TTY": "/dev/pts/1"},
        {"TMUX": "/tmp/tmux-0/default,1,0"},
        {"STY": "123.pts-0"},
        {"TERM": "screen-256color"},
        {"TERM": "tmux-256color"},
    ],
)
def test_far_terminals_get_half_cells_and_are_asked_nothing(environ: Mapping[str, str]) -> None:
    loaded = _modules_after_choosing(ImageMode.AUTO, _LOCAL | dict(environ))

    assert loaded == "halfcell False"


def test_none_and_halfcell_ask_the_terminal_nothing() -> None:
    assert _modules_after_choosing(ImageMode.NONE, _LOCAL) == "none False"
    assert _modules_after_choosing(ImageMode.HALFCELL, _LOCAL) == "halfcell False"


def test_a_near_terminal_that_says_nothing_gets_half_cells() -> None:
    assert _modules_after_choosing(ImageMode.AUTO, _LOCAL) == "halfcell False"


@pytest.mark.parametrize(
    ("wish", "expected"), [("auto", "halfcell"), ("kitty", "none"), ("sixel", "none")]
)
@pytest.mark.parametrize("columns", [0, 80])
def test_a_terminal_that_cannot_be_asked_breaks_nothing(
    wish: str, expected: str, columns: int
) -> None:
    code = (
        "from pixart_tui.tui.terminal.pictures import ImageMode, choose_pictures;"
        f"print('chosen', choose_pictures(ImageMode('{wish}'), {_LOCAL!r}).mode)"
    )
    source = subprocess.DEVNULL if columns else None
    text = _in_terminal(code, columns, source)

    # Without columns the size of a cell cannot be told; without an input nothing can be asked.
    assert f"chosen {expected}" in text


@pytest.mark.parametrize("wish", [ImageMode.KITTY, ImageMode.SIXEL])
def test_what_was_asked_for_is_taken_even_over_ssh(wish: ImageMode) -> None:
    environ = _LOCAL | {"SSH_TTY": "/dev/pts/1"}

    assert choose_pictures(wish, environ) == Pictures(wish)


@pytest.mark.parametrize(
    ("environ", "terminal", "ascii_only", "word"),
    [
        (_LOCAL | {"NO_COLOR": "1"}, True, False, "NO_COLOR"),
        (_LOCAL, True, True, "ASCII"),
        (_LOCAL, False, False, "need a terminal"),
        ({"TERM": "dumb"}, True, False, "TERM"),
        ({}, True, False, "TERM"),
    ],
)
@pytest.mark.parametrize("wish", [ImageMode.AUTO, ImageMode.KITTY, ImageMode.HALFCELL])
def test_without_colors_it_says_why_there_is_no_picture(
    environ: Mapping[str, str], terminal: bool, ascii_only: bool, word: str, wish: ImageMode
) -> None:
    found = choose_pictures(wish, environ, is_terminal=terminal, ascii_only=ascii_only)

    assert found.mode is ImageMode.NONE
    assert word in found.reason


@pytest.mark.parametrize(
    ("pixels", "columns", "rows", "expected"),
    [
        ((512, 512), 40, 24, (40, 20)),
        ((512, 512), 80, 20, (40, 20)),
        ((1024, 512), 40, 24, (40, 10)),
        ((512, 1024), 80, 20, (20, 20)),
        ((1000, 1), 10, 10, (10, 1)),
    ],
)
def test_fitted_keeps_the_shape(
    pixels: tuple[int, int], columns: int, rows: int, expected: tuple[int, int]
) -> None:
    assert fitted(pixels, columns, rows) == expected


def test_a_cell_holds_two_pixels() -> None:
    image = Image.new("RGB", (2, 4), (255, 0, 0))
    image.putpixel((1, 1), (0, 0, 255))

    cells = half_cells(image, 2, 2)

    styles = [[str(cell.style) for cell in row] for row in cells]
    assert styles == [["on #ff0000", "#ff0000 on #0000ff"], ["on #ff0000", "on #ff0000"]]
    assert [[cell.text for cell in row] for row in cells] == [[" ", "▀"], [" ", " "]]


def test_a_printed_picture_says_where_its_file_is(tmp_path: Path) -> None:
    path = tmp_path / "heart.png"
    Image.new("RGB", (64, 64), (200, 32, 32)).save(path)

    printed = _printed(path, Pictures(ImageMode.HALFCELL))

    assert printed.count("48;2;200;32;32m") == 8  # 16 columns wide: 8 rows, each one run of cells
    assert f"the file is at {path}" in printed.replace("\n", "")


def test_no_picture_is_the_reason_and_the_path(tmp_path: Path) -> None:
    missing = tmp_path / "no picture is read.png"

    printed = _printed(missing, Pictures(ImageMode.NONE, "pictures need colors"))

    assert printed.splitlines()[0] == "pictures need colors"
    assert f"the file is at {missing}" in printed.replace("\n", "")


@pytest.mark.parametrize("mode", [ImageMode.KITTY, ImageMode.SIXEL])
def test_protocols_draw_with_their_own_bytes(
    mode: ImageMode, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "heart.png"
    Image.new("RGB", (64, 64), (200, 32, 32)).save(path)

    printed = _printed(path, Pictures(mode))
    sent = printed + capfd.readouterr().out

    assert ("\x1b_G" in sent) == (mode is ImageMode.KITTY)
    assert ("\x1bP" in sent) == (mode is ImageMode.SIXEL)


def _printed(path: Path, pictures: Pictures) -> str:
    file = StringIO()
    console = Console(file=file, force_terminal=True, color_system="truecolor", width=80)
    console.print(picture(path, 16, pictures))
    return file.getvalue()


def _in_terminal(code: str, columns: int, source: int | None) -> str:
    """What a program prints on a terminal of so many columns, with another input if given."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with os.fdopen(controller, "rb", buffering=0) as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=terminal if source is None else source,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        text = b""
        with suppress(OSError):  # the end of a terminal that nobody holds any more
            while data := out.read(4096):
                text += data
        assert process.wait(timeout=120) == 0, text
    return text.decode()


def _modules_after_choosing(wish: ImageMode, environ: Mapping[str, str]) -> str:
    code = f"""
import sys
from pixart_tui.tui.terminal.pictures import ImageMode, choose_pictures
mode = choose_pictures(ImageMode.{wish.name}, {dict(environ)!r}).mode
print(mode, "textual_image" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return done.stdout.strip()
