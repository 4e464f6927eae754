"""Sgr: what SGR says, and the shortest way from one to another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.tui.terminal.sgr import PLAIN, Sgr, change, dipped, on_blank

_STYLES = st.sampled_from(["", "31", "97", "38;5;200", "38;2;1;2;3"])
_PAPERS = st.sampled_from(["", "41", "107", "48;5;16", "48;2;1;2;3"])
_MARKS = st.sets(st.sampled_from(["1", "2", "3", "4", "7", "9"])).map(lambda m: tuple(sorted(m)))
SGRS = st.builds(Sgr, _STYLES, _PAPERS, _MARKS)


@pytest.mark.parametrize(
    ("parameters", "sgr"),
    [
        ("", PLAIN),
        ("0", PLAIN),
        ("1;38;2;1;2;3;48;5;7", Sgr("38;2;1;2;3", "48;5;7", ("1",))),
        ("7;2", Sgr(marks=("2", "7"))),
        ("91;44;0;3", Sgr(marks=("3",))),
        ("38;5;1;39;42;49", PLAIN),
    ],
)
def test_parameters_are_obeyed_in_turn(parameters: str, sgr: Sgr) -> None:
    assert dipped(Sgr("31", "42", ("9",)), f"0;{parameters}" if parameters else "") == sgr


@pytest.mark.parametrize(
    "parameters", ["58;5;1", "22", "38;2;1;2", "38", "38;7;1", "4;99", "1;;", "4:3"]
)
def test_what_it_does_not_know_is_no_sgr(parameters: str) -> None:
    assert dipped(PLAIN, parameters) is None


@given(SGRS, SGRS)
def test_a_change_leads_from_one_sgr_to_the_other(before: Sgr, after: Sgr) -> None:
    sent = change(before, after)
    assert (dipped(before, sent[2:-1]) if sent else before) == after


@given(SGRS, SGRS)
def test_a_change_is_never_longer_than_to_begin_anew(before: Sgr, after: Sgr) -> None:
    assert len(change(before, after)) <= len(change(None, after))


@given(SGRS)
def test_nothing_is_sent_for_the_same_sgr(sgr: Sgr) -> None:
    assert change(sgr, sgr) == ""


def test_on_a_space_only_what_is_behind_it_is_seen() -> None:
    assert on_blank(Sgr("31", "42", ("1", "3"))) == Sgr("", "42")
    assert on_blank(Sgr("31", "42", ("1", "7"))) == Sgr("31", "42", ("7",))
