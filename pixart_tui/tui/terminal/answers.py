"""Asks the terminal which pictures it can draw, before anything else reads from it."""

from __future__ import annotations

import os
import re
import select
import sys
import termios
import time
import tty
from typing import Final

_QUESTIONS: Final = b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\\x1b[c"
"""Whether the terminal takes a picture of one pixel as kitty does, and its kind (DA1)."""
_KITTY: Final = b"\x1b_Gi=31;OK"
_KIND: Final = re.compile(rb"\x1b\[\?([\d;]*)c")
_SIXEL: Final = b"4"
_LIMIT_S: Final = 0.2
"""For terminals that do not even say what they are."""


def may_draw_pictures() -> bool:
    """Whether the terminal knows a protocol for pictures, kitty's or sixel.

    Terminals answer in the order of the questions, and every one says what kind it is: none is
    waited for that does not come.
    """
    try:
        answer = _asked(sys.__stdin__.fileno(), sys.__stdout__.fileno())  # type: ignore[union-attr]
    except (AttributeError, OSError, ValueError, termios.error):
        return False  # there is no terminal to ask
    kind = _KIND.search(answer)
    return _KITTY in answer or (kind is not None and _SIXEL in kind[1].split(b";"))


def _asked(source: int, sink: int) -> bytes:
    before = termios.tcgetattr(source)
    try:
        tty.setcbreak(source, termios.TCSANOW)
        os.write(sink, _QUESTIONS)
        return _answer(source)
    finally:
        termios.tcsetattr(source, termios.TCSANOW, before)


def _answer(source: int) -> bytes:
    answer = b""
    deadline_s = time.monotonic() + _LIMIT_S
    while not _KIND.search(answer):
        left_s = deadline_s - time.monotonic()
        if left_s <= 0 or not select.select([source], [], [], left_s)[0]:
            break
        answer += os.read(source, 1024)
    return answer
