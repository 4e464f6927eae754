"""The last word of a worker that its journal could not take, in space that a run reserves.

A full disk takes no further event. So a run is made with a file of one block, and what is put in
place of that needs no new one: why the run ended is told wherever that can be written at all.
"""

from __future__ import annotations

import os
from pathlib import Path
from time import time
from typing import Final

from pydantic import ValidationError

from pixart_tui.domain.errors import CancelledError, PixartTuiError
from pixart_tui.domain.events import AttemptFinished, Failure
from pixart_tui.domain.values import Value

RESERVED_BYTES: Final = 4096
_MOST_CHARACTERS: Final = 250
"""Of each text, so that all fit into the block."""


class LastWord(Value):
    """How an attempt ended that its journal does not tell.

    Attributes:
        attempt: Which one.
        t: Unix time.
        outcome: How it ended.
    """

    attempt: int
    t: float
    outcome: AttemptFinished


def reserve(path: Path) -> None:
    """Takes the space, or empties it for another attempt.

    Raises:
        OSError: There is none.
    """
    _put(path, b"")


def say(path: Path, attempt: int, outcome: AttemptFinished) -> None:
    """Writes it over the reserved space.

    Raises:
        OSError: It cannot be written.
    """
    _put(
        path, LastWord(attempt=attempt, t=time(), outcome=_cut(outcome)).model_dump_json().encode()
    )


def heard(path: Path) -> LastWord | None:
    """Returns the last word, None without one."""
    try:
        return LastWord.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


def outcome_of(error: PixartTuiError | CancelledError) -> AttemptFinished:
    """How an attempt ends that an error ended."""
    state = "cancelled" if isinstance(error, CancelledError) else "failed"
    return AttemptFinished(state=state, failure=Failure.of(error))


def _cut(outcome: AttemptFinished) -> AttemptFinished:
    if outcome.failure is None:
        return outcome
    texts = outcome.failure.model_dump(include={"title", "cause", "next_step"})
    short = {name: text[:_MOST_CHARACTERS] for name, text in texts.items()}
    failure = outcome.failure.replace(**short)
    return outcome.replace(failure=failure)


def _put(path: Path, content: bytes) -> None:
    data = content.ljust(RESERVED_BYTES)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
    try:
        os.pwrite(handle, data, 0)
        os.ftruncate(handle, len(data))
        os.fsync(handle)
    finally:
        os.close(handle)
