"""Reading the text files that users write: UTF-8 or UTF-16, with or without a byte order mark."""

from __future__ import annotations

import codecs
import sys
from pathlib import Path
from typing import Final

from pixart_tui.domain.errors import RequestError

STDIN: Final = Path("-")
"""The name of standard input, where a file of prompts is asked for."""

_MARK: Final = "\ufeff"
_ENCODINGS: Final = (
    # UTF-32's mark begins with that of UTF-16.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(path: Path, next_step: str) -> str:
    """The text of a file, without its byte order mark.

    Args:
        path: The file.
        next_step: What to do where there is no such file.

    Raises:
        RequestError: It cannot be read, or is no text in UTF-8 or UTF-16.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        cause = error.strerror or str(error)
        raise RequestError(f"{path} cannot be read", cause=cause, next_step=next_step) from error
    return decode(content, str(path))


def decode(content: bytes, name: str) -> str:
    """The text in some bytes, without its byte order mark.

    Args:
        content: The bytes.
        name: Where they are from, for the error.

    Raises:
        RequestError: They are no text in UTF-8 or UTF-16.
    """
    encoding = next((name for mark, name in _ENCODINGS if content.startswith(mark)), "utf-8-sig")
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        raise _not_utf8(name, _why(content, encoding, error.start)) from error
    if "\0" in text:
        raise _not_utf8(name, "it holds zero bytes, as binary files do and UTF-16 without a mark")
    return text


def read_prompts(path: Path) -> tuple[str, ...]:
    """The prompts in a file or, of ``-``, from standard input, one a line.

    Empty lines and those that begin with # are none, nor is white space around a prompt.

    Raises:
        RequestError: It cannot be read, is no text, or holds no prompt.
    """
    if path == STDIN:
        name, text = "standard input", decode(_read_stdin(), "standard input")
    else:
        name, text = str(path), read_text(path, "check the name")
    # Files that were put together have a mark in the middle.
    lines = (line.strip().strip(_MARK).strip() for line in _lines(text))
    prompts = tuple(line for line in lines if line and not line.startswith("#"))
    if not prompts:
        raise RequestError(f"{name} holds no prompt", next_step="write one prompt a line")
    return prompts


def _lines(text: str) -> list[str]:
    """The lines as editors count them; ``splitlines`` also ends one at a form feed and others."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def _read_stdin() -> bytes:
    return sys.stdin.buffer.read() if sys.stdin is not None else b""


def _why(content: bytes, encoding: str, at: int) -> str:
    if encoding != "utf-8-sig":
        return f"its first bytes are the mark of {encoding.upper()}, and byte {at + 1} breaks it"
    before = content[:at]
    line = before.count(b"\n") + 1
    return f"line {line} holds the byte 0x{content[at]:02x}, which is no UTF-8"


def _not_utf8(name: str, cause: str) -> RequestError:
    return RequestError(
        f"{name} cannot be read as text in UTF-8",
        cause=cause,
        next_step="save it as UTF-8, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW",
    )
