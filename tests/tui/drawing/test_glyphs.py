"""Whatever is drawn has an ASCII character of the same width."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import ControlType, Segment
from rich.style import Style
from textual.color import Color

from pixart_tui.domain.benchmarks.rows import RowStatus
from pixart_tui.runs.run import RunState
from pixart_tui.tui.drawing import glyphs, states
from pixart_tui.tui.drawing.glyphs import AsciiOnly, TextOnly, in_ascii


@given(st.text(st.characters(exclude_categories=("Cs", "Cc"))))
def test_any_text_becomes_ascii_of_the_same_width(text: str) -> None:
    reference = in_ascii(text)

    assert reference.isascii()
    assert cell_len(reference) == sum(map(cell_len, text))


def test_states_stay_apart_in_ascii() -> None:
    marks = [in_ascii(states.mark_span(state).text) for state in RunState]
    rows = [in_ascii(states.row_mark(status).text) for status in RowStatus]

    assert len(set(marks)) == len(marks)
    assert len(set(rows)) == len(rows)
    assert in_ascii(glyphs.CHOSEN) != in_ascii(glyphs.KEPT)


def test_levels_stay_apart_in_ascii() -> None:
    levels = glyphs.LEVELS
    others = glyphs.PENDING + glyphs.RUNNING + glyphs.FAILED + glyphs.EXCLUDED + " ="
    shown = in_ascii(levels + others)
    assert len(set(shown)) == len(levels + others)
    assert len(set(in_ascii(glyphs.SHADES))) == len(glyphs.SHADES)


def test_borders_and_dots_are_drawn_with_ascii() -> None:
    assert in_ascii("╭─┬╮│┼╰┴╯") == "+-+" + "+|+" + "+++"
    assert in_ascii("⠀⠁⣾") == " .#"


def test_the_filter_leaves_styles_and_control_codes_alone() -> None:
    style = Style(bold=True)
    control = Segment("\x1b[2K", None, [(ControlType.ERASE_IN_LINE, 2)])

    drawn = AsciiOnly().apply([Segment("✓ é", style), control], Color(0, 0, 0))

    assert drawn == [Segment("+ e", style), control]


def test_no_text_that_is_drawn_acts_on_the_terminal_and_every_cell_stays() -> None:
    style = Style(bold=True)
    code = Segment("\x1b[2J", None, [(ControlType.CLEAR,)])
    given = [
        *(Segment("\x1b]52;c;zyx\x07", style), code),
        *(Segment("a\u202eb\x9b31m\u2069", style), Segment("日本 ●", style)),
    ]
    kept = TextOnly().apply(given, Color(0, 0, 0))

    assert [one.text for one in kept] == ["]52;c;zyx", "\x1b[2J", "ab31m", "日本 ●"]
    assert [one.cell_length for one in kept] == [one.cell_length for one in given]
    assert kept[1] is code
    assert all(one.style is style for one in kept if one is not code)


def test_a_sixel_picture_is_put_in_its_place() -> None:
    move = Segment("\x1b[4;7H", Style())
    assert TextOnly().apply([move], Color(0, 0, 0)) == [move]
    assert (
        TextOnly().apply([Segment("\x1b[4;7H", Style(dim=True))], Color(0, 0, 0))[0].text == "[4;7H"
    )
