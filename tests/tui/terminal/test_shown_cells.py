"""Only changes are sent, and the terminal shows the same as if all had been sent."""

from __future__ import annotations

from typing import NamedTuple

import pyte
from hypothesis import example, given
from hypothesis import strategies as st

from pixart_tui.tui.terminal.sgr import RESET, Sgr, change
from pixart_tui.tui.terminal.shown_cells import ShownCells
from tests.tui.terminal.seen import seen
from tests.tui.terminal.test_sgr import SGRS

_COLUMNS, _ROWS = 14, 4
_WORDS = st.text(alphabet="ab  ━▁語e\u0301", min_size=1, max_size=8)


class Text(NamedTuple):
    """A text at a place, as Textual writes one."""

    row: int
    column: int
    word: str
    sgr: Sgr

    def __str__(self) -> str:
        dip = change(Sgr(), self.sgr)
        end = "\n" if self.row < _ROWS - 1 else ""  # which would scroll
        return f"\x1b[{self.row + 1};{self.column + 1}H{dip}{self.word}{dip and RESET}{end}"


TEXTS = st.builds(Text, st.integers(0, _ROWS - 1), st.integers(0, _COLUMNS - 1), _WORDS, SGRS)
FRAMES = st.lists(TEXTS, min_size=1, max_size=5).map(
    lambda texts: "".join(map(str, texts)) + "\x1b[1;2H"
)
FOREIGN = st.sampled_from(["\x1b[2J", "\x07", "\x1b[?25l", "\x1b[1;1H\x1b[2Kab"])


class Terminals:
    """One is sent everything, the other what is left of it."""

    def __init__(self) -> None:
        self.cells = ShownCells(_COLUMNS, _ROWS)
        self.whole, self.light = _terminal(), _terminal()

    def send(self, data: str) -> str:
        changes = self.cells.changes(data)
        self.whole[1].feed(data)
        self.light[1].feed(changes)
        return changes

    def assert_alike(self) -> None:
        whole, light = self.whole[0], self.light[0]
        assert seen(light) == seen(whole)
        assert (light.cursor.y, light.cursor.x) == (whole.cursor.y, whole.cursor.x)


def _terminal() -> tuple[pyte.Screen, pyte.Stream]:
    screen = pyte.Screen(_COLUMNS, _ROWS)
    stream = pyte.Stream(screen)
    stream.feed("\x1b[?7l")  # as Textual has it: lines do not wrap
    return screen, stream


@given(st.lists(FRAMES | FOREIGN, max_size=8))
@example(["\x1b[1;1Hab", "\x1b[1;1H語", "\x1b[1;1Hab"])
@example(["\x1b[1;1H語", "\x1b[1;2Ha"])
@example(["\x1b[1;9Ha", "\x1b[1;10H\u0301", "\x1b[1;9Ha"])
@example(["\x1b[1;14Ha", "\x1b[1;13Hbc"])
def test_the_terminal_shows_the_same(frames: list[str]) -> None:
    terminals = Terminals()
    for data in frames:
        terminals.send(data)
        terminals.assert_alike()


@given(FRAMES)
def test_a_frame_that_changes_nothing_is_not_sent(data: str) -> None:
    cells = ShownCells(_COLUMNS, _ROWS)
    first = cells.changes(data)
    again = cells.changes(data)
    is_known = cells.changes(data) == ""
    # Texts that lie over each other change each other, and wide ones are always sent.
    assert len(again) <= len(first)
    assert is_known == (again == "")


def test_of_a_line_only_changed_cells_are_sent() -> None:
    cells = ShownCells(80, 24)
    head = "\x1b[2;1H\x1b[38;2;1;2;3;48;2;4;5;6m"
    cells.changes(f"{head} 12 of 86 layers    elapsed 2:34\x1b[0m\x1b[1;2H")
    sent = cells.changes(f"{head} 12 of 86 layers    elapsed 2:35\x1b[0m\x1b[1;2H")
    assert sent == "\x1b[2;32H5\x1b[1;2H"


def test_changes_that_are_close_are_sent_as_one() -> None:
    cells = ShownCells(80, 24)
    cells.changes("\x1b[1;1Habcdefghijklmnop")
    assert cells.changes("\x1b[1;1HAbcDefghijklmnoP") == "\x1b[1GAbcD\x1b[16GP"


def test_what_follows_a_mark_that_may_be_wide_is_put_in_its_place() -> None:
    cells = ShownCells(80, 24)
    assert cells.changes("\x1b[2;1H\x1b[31m▶\x1b[0m run") == (
        "\x1b[2;1H\x1b[0;31m▶\x1b[2G\x1b[0m run"
    )


def test_what_lies_outside_is_sent_as_it_is_and_nothing_is_known_after_it() -> None:
    cells = ShownCells(10, 3)
    inside = "\x1b[1;1Habc"
    assert cells.changes(inside)
    assert cells.changes(inside) == ""
    outside = "\x1b[1;9Habc"
    assert cells.changes(outside) == "\x1b[0m" + outside
    assert "abc" in cells.changes(inside)


def test_nothing_is_known_of_a_terminal_without_a_size() -> None:
    cells = ShownCells(0, 0)
    assert [cells.changes("\x1b[1;1Habc") for _ in range(2)] == ["\x1b[1;1Habc"] * 2
