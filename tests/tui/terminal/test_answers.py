"""Asking a terminal, with a terminal that answers, that answers something else, or nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time

import pytest

_ASK = """
import os, sys, termios
from pixart_tui.tui.terminal.answers import may_draw_pictures
before = termios.tcgetattr(0)
print("drawn" if may_draw_pictures() else "not drawn")
print("restored" if termios.tcgetattr(0) == before else "changed")
"""
_LIMIT_S = 30.0


def _told(answer: bytes) -> str:
    """What comes of asking a terminal that gives this answer to the question what it is."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", _ASK], stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    told = b""
    deadline_s = time.monotonic() + _LIMIT_S
    asked = False
    while (b"restored" not in told and b"changed" not in told) and time.monotonic() < deadline_s:
        told += os.read(controller, 4096)
        if not asked and told.endswith(b"\x1b[c"):
            asked = True
            for part in (answer[:3], answer[3:]):
                os.write(controller, part)
    process.wait(timeout=_LIMIT_S)
    os.close(controller)
    return told.decode()


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"\x1b_Gi=31;OK\x1b\\\x1b[?62;22c", "drawn"),
        (b"\x1b[?62;4;22c", "drawn"),
        (b"\x1b[?4c", "drawn"),
        (b"\x1b[?64;14;22c", "not drawn"),
        (b"\x1b[?6c", "not drawn"),
        (b"\x1b_Gi=31;EINVAL\x1b\\\x1b[?62;22c", "not drawn"),
        (b"q", "not drawn"),
        (b"", "not drawn"),
    ],
)
def test_what_the_terminal_says_is_understood(answer: bytes, word: str) -> None:
    lines = _told(answer).split("\r\n")
    assert [line.rpartition("\x1b[c")[2] for line in lines[:2]] == [word, "restored"]


def test_without_a_terminal_there_are_no_pictures() -> None:
    code = "from pixart_tui.tui.terminal.answers import may_draw_pictures as m; print(m())"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout == "False\n"


def test_an_answer_is_waited_for_only_so_long() -> None:
    started_s = time.monotonic()
    assert "not drawn" in _told(b"")
    assert time.monotonic() - started_s < _LIMIT_S / 2
