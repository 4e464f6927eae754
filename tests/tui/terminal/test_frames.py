"""Frames: positions, sgrs and texts; anything else is none."""

from __future__ import annotations

import pytest

from pixart_tui.tui.terminal.frames import Stroke, read_frame
from pixart_tui.tui.terminal.sgr import PLAIN, Sgr


def test_texts_follow_each_other_on_a_line() -> None:
    frame = read_frame("\x1b[3;5H\x1b[31mab\x1b[0m cd\n\x1b[4;1H━━\x1b[1;2H")
    assert frame is not None
    assert frame.strokes == [
        Stroke((2, 4), "ab", Sgr("31"), 2, True),
        Stroke((2, 6), " cd", PLAIN, 3, True),
        Stroke((3, 0), "━━", PLAIN, 2, True),
    ]
    assert frame.cursor == (0, 1)


def test_wide_characters_take_their_cells() -> None:
    frame = read_frame("\x1b[1;1H苹果a\x1b[31mb")
    assert frame is not None
    assert [(s.place, s.width, s.is_plain) for s in frame.strokes] == [
        ((0, 0), 5, False),
        ((0, 5), 1, True),
    ]


def test_a_mark_that_sits_on_a_letter_is_not_plain() -> None:
    frame = read_frame("\x1b[1;1He\u0301語")  # three characters in three cells
    assert frame is not None
    assert not frame.strokes[0].is_plain


def test_without_a_position_the_cursor_is_not_moved() -> None:
    assert read_frame("") == ([], None)
    frame = read_frame("\x1b[2;1Ha\n")
    assert frame is not None
    assert frame.cursor is None


@pytest.mark.parametrize(
    "data",
    [
        "text without a position",
        "\x1b[1;1Ha\nb",
        "\x1b[1;1Ha\x07",
        "\x1b[?25h",
        "\x1b[1;1H\x1b[58;5;1ma",
        "\x1b[1;1Ha\x1b",
        "\x1bP0;1;0q#0\x1b\\",
        "\x1b_Gf=100;AAAA\x1b\\",
        "\x1b]52;c;YQ==\a",
        "\x1b[2J",
    ],
)
def test_anything_else_is_no_frame(data: str) -> None:
    assert read_frame(data) is None
