"""Reading a model's JSON files, and saying in one line what is wrong with one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import parse_json

_BRIEF_CHARACTERS: Final = 200


def brief(error: BaseException) -> str:
    """The first line of an error's text, cut to what fits in a message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if len(text) <= _BRIEF_CHARACTERS else f"{text[: _BRIEF_CHARACTERS - 3]}..."


def read_json(file: Path, *, may_have_mark: bool = False) -> dict[str, Any]:
    """A JSON object from a file.

    Args:
        file: The file.
        may_have_mark: Whether a byte order mark may come first: what other libraries read, too,
            may not have one.

    Raises:
        RequestError: The file cannot be read, is not JSON, or holds something else.
    """
    try:
        text = file.read_text(encoding="utf-8-sig" if may_have_mark else "utf-8")
        value = parse_json(text)
    except (OSError, ValueError) as error:
        raise RequestError(
            f"{file.name} cannot be read",
            cause=f"{file}: {brief(error)}",
            next_step="Restore the file from where the model came from.",
        ) from error
    if isinstance(value, dict):
        return value
    raise RequestError(
        f"{file.name} is not a JSON object",
        cause=f"{file}: holds a {type(value).__name__}",
        next_step="Restore the file from where the model came from.",
    )
