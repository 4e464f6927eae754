"""What a look says in words, and what more samples would bring."""

from __future__ import annotations

import pytest

from pixart_tui.domain.profiles.looks import Look, Outcome
from pixart_tui.reporting.look_text import describe_look, look_lines


def _look(outcome: Outcome, samples: int, undecided: int = 0, with_twice: int = 0) -> Look:
    return Look(
        samples=samples,
        undecided={"fp8": undecided, "int8": 0},
        with_twice={"fp8": with_twice, "int8": 0},
        outcome=outcome,
    )


@pytest.mark.parametrize(
    ("look", "words"),
    [
        (_look("settled", 8), "cut settled after 8 of 16 samples"),
        (
            _look("spent", 16, 5, 2),
            "all 16 samples measured; 5 layers near the cut cannot be told apart "
            "(about 2 with twice as many samples)",
        ),
        (_look("spent", 16), "all 16 samples measured; the cut is settled"),
        (
            _look("time", 6, 4),
            "stopped by --max-minutes after 6 of 16 samples; 4 layers near the cut cannot be told "
            "apart (none with twice as many samples)",
        ),
        (_look("time", 6), "stopped by --max-minutes after 6 of 16 samples; the cut is settled"),
        (
            _look("", 4, 9, 7),
            "after 4 of 16 samples: 9 layers near the cut cannot be told apart "
            "(about 7 with twice as many samples)",
        ),
        (_look("", 4), "after 4 of 16 samples: the cut is settled"),
    ],
)
def test_every_outcome_is_told_with_what_more_would_bring(look: Look, words: str) -> None:
    assert describe_look(look, 16, "fp8") == words


def test_a_single_sample_is_no_plural() -> None:
    assert describe_look(_look("spent", 1), 1, "fp8") == (
        "all 1 sample measured; the cut is settled"
    )


def test_a_quant_type_is_named_where_there_are_several() -> None:
    look = _look("spent", 16, 5, 2)
    assert list(look_lines(look, 16, ["fp8"])) == [describe_look(look, 16, "fp8")]
    fp8, int8 = look_lines(look, 16, ["fp8", "int8"])
    assert fp8 == f"fp8: {describe_look(look, 16, 'fp8')}"
    assert int8 == "int8: all 16 samples measured; the cut is settled"
