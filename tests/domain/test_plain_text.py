from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pixart_tui.domain.plain_text import harmless, is_text, last_state, visible, visible_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[/INST] [red]apple :smile:", "[/INST] [red]apple :smile:"),
        ("red\x1b[31m apple\x1b]0;title\x07!", "red apple!"),
        ("a\rb\nc\x07\x9b31md", "a b c d"),
        ("left\u202eright\u2066\u061c", "left right "),
        ("caf\udce9.png", "caf\\xe9.png"),
        ("half \ud83d", "half \N{REPLACEMENT CHARACTER}"),
    ],
)
def test_text_is_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_lines_stay_where_they_are_wanted() -> None:
    assert visible_lines("a\x1b[1m\nb\x1b[0m\n") == "a\nb\n"
    assert last_state("10%\r20%\r\n") == "20%"


def test_bytes_are_told_from_text() -> None:
    assert is_text("é ✓")
    assert not is_text("caf\udce9")


@given(st.text(st.characters(codec="utf-8") | st.sampled_from("\x1b\x9b\x07\u202e\ud800[]m;")))
def test_nothing_that_a_terminal_acts_on_is_left(text: str) -> None:
    for shown in (visible(text), harmless(text)):
        assert not set(shown) & {*map(chr, range(32)), *map(chr, range(127, 160)), "\u202e"}
        shown.encode()


@given(st.text("ab[]m\x1b\x07\u202e\udce9é中"))
def test_what_is_laid_out_keeps_its_cells(text: str) -> None:
    assert cell_len(harmless(text)) == sum(
        1 if sign == "\udce9" else cell_len(sign) for sign in text
    )
