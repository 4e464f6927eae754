"""``live.json``: written by a worker about once a second, read by viewers, lost without harm."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from pixart_tui.domain.live import LIVE_VERSION, Live


def write_live(path: Path, live: Live) -> None:
    """Puts a sample in the place of the one before; not synced, as it is not needed later.

    A disk that is full must not end the work: the old sample then stays.
    """
    beside = path.with_name(f".{path.name}")
    with suppress(OSError):
        beside.write_text(live.model_dump_json() + "\n")
        beside.replace(path)


def read_live(path: Path) -> Live | None:
    """The latest sample, None where there is none that can be understood."""
    try:
        live = Live.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None
    return live if live.v == LIVE_VERSION else None
