from __future__ import annotations

import pytest

from pixart_tui.domain.errors import (
    CancelledError,
    PixartTuiError,
    RequestError,
    WorkError,
    first_line,
)


@pytest.mark.parametrize(
    ("kind", "exit_code"), [(WorkError, 1), (RequestError, 2), (CancelledError, 130)]
)
def test_exit_codes_are_those_that_scripts_rely_on(
    kind: type[PixartTuiError | CancelledError], exit_code: int
) -> None:
    assert kind("title").exit_code == exit_code


def test_lines_leave_out_what_is_not_known() -> None:
    assert RequestError("no such file", next_step="name another").lines() == [
        "error: no such file",
        "next: name another",
    ]


def test_the_first_line_of_an_error_is_short_and_never_empty() -> None:
    assert first_line(ValueError("one\ntwo")) == "one"
    assert first_line(ValueError("\n  one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"
    assert first_line(ValueError("x" * 500)) == "x" * 200
    assert first_line(ValueError("abcdef"), 3) == "abc"
