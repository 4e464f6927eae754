"""Text of users, files and libraries as a terminal or a page may show it: shown, never obeyed."""

from __future__ import annotations

import re
from typing import Final

_ESCAPES: Final = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colors, the cursor
    # Strings: titles, pictures.
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"
    r"|\x1b[ -/]*[0-~]"
)
_UNSEEN: Final = re.compile(
    # Control codes, marks that turn the direction of writing, fillers.
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]+"
)
_HALVES: Final = re.compile("[\ud800-\udfff]")


def visible(text: str) -> str:
    r"""Text on one line, with nothing in it that a terminal would act on.

    Bytes that are not text in this locale are spelled out: ``caf\xe9``.
    """
    if text.isprintable():
        return text
    return _HALVES.sub(_spelled, _UNSEEN.sub(" ", _ESCAPES.sub("", text)))


def visible_lines(text: str) -> str:
    """The same for text of several lines, which stay."""
    return "\n".join(map(visible, text.split("\n")))


def last_state(line: str) -> str:
    """A line of a log, of a bar that was redrawn with carriage returns its last state."""
    return visible(line.rstrip("\r\n").rpartition("\r")[2])


def harmless(text: str) -> str:
    """The same for text that is laid out: what had no width is gone, and cells stay cells."""
    return text if text.isprintable() else _HALVES.sub("?", _UNSEEN.sub("", text))


def is_text(text: str) -> bool:
    """Whether a text holds characters only, and no byte that could not be decoded."""
    return _HALVES.search(text) is None


def _spelled(half: re.Match[str]) -> str:
    """A byte of a name as Python keeps it (PEP 383), or half of a character."""
    number = ord(half[0])
    return (
        f"\\x{number - 0xDC00:02x}" if 0xDC80 <= number <= 0xDCFF else "\N{REPLACEMENT CHARACTER}"
    )
