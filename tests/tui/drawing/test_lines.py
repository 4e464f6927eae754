from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from pixart_tui.tui.drawing.lines import (
    Line,
    Span,
    changed_cells,
    fit,
    fit_middle,
    fit_right,
    line,
    plain,
    printable,
    progress_bar,
    spread,
    wrap_path,
)

texts = st.text(max_size=30)
widths = st.integers(1, 40)


@given(texts, widths)
def test_fitted_text_has_exactly_that_many_cells(text: str, width: int) -> None:
    shown = printable(text)

    assert cell_len(fit(shown, width)) == width
    assert cell_len(fit_right(shown, width)) == width


@given(st.text("abc.", max_size=60), widths)
def test_a_name_keeps_both_ends(name: str, width: int) -> None:
    short = fit_middle(name, width)

    assert len(short) == width
    if len(name) > width > 2:
        assert name.startswith(short.split("…")[0])
        assert name.endswith(short.split("…")[1])


@given(st.text(max_size=60))
def test_nothing_printable_controls_the_terminal(text: str) -> None:
    assert all(character.isprintable() or ord(character) > 0x9F for character in printable(text))


def test_printable_keeps_the_last_state_of_a_progress_bar() -> None:
    assert printable(" 10%|#\r 20%|##\r\n") == " 20%|##"
    assert printable("\x1b[1;31mred\x1b[0m \x1b]0;title\x07apple") == "red apple"


@given(st.floats(-1, 2), st.integers(1, 60))
def test_a_progress_bar_has_its_width_whatever_the_fraction(fraction: float, width: int) -> None:
    assert len(plain(progress_bar(fraction, width))) == width


@given(st.text("abcdef/", max_size=300), widths)
def test_a_wrapped_path_is_whole(path: str, width: int) -> None:
    assert "".join(wrap_path(path, width)) == path


def test_the_right_end_goes_where_there_is_no_room() -> None:
    assert plain(spread([Span("left")], [Span("right")], 12)) == "left   right"
    assert plain(spread([Span("left")], [Span("right")], 9)) == "left"


@given(st.text("ab ", max_size=20), st.text("ab ", max_size=20))
def test_what_lies_outside_the_changed_cells_is_equal(before: str, after: str) -> None:
    first, length = changed_cells(line(before), line(after))

    assert before[:first] == after[:first]
    assert before[first + length :] == after[first + length :]


def test_a_change_of_style_is_a_change() -> None:
    before: Line = (Span("ab"), Span("cd"))
    after: Line = (Span("ab"), Span("cd", "muted"))

    assert changed_cells(before, after) == (2, 2)


def test_wide_characters_repaint_the_whole_line() -> None:
    assert changed_cells(line("🍎 x"), line("🍎 y")) == (0, 4)
