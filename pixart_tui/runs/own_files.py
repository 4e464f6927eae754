"""The files of a run's own directory: kept by its worker, and never made again once it is gone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.files import replacing

LOG_MOST_BYTES: Final = 1024 * 1024
_DROPPED: Final = b"[the lines before this one were dropped: the log was too long]\n"


def write_own(path: Path, content: bytes) -> None:
    """Writes a whole file of a run, whose directory must be there.

    Raises:
        WorkError: The directory is gone, or the disk is full.
    """
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise unwritten(path, error) from error


def unwritten(path: Path, error: OSError) -> WorkError:
    """Builds the error of a run's file that cannot be written."""
    return WorkError(
        f"{path} could not be written",
        cause=error.strerror or str(error),
        next_step="free some space, then: pixart-tui resume " + path.parent.name,
    )


def trim_log(path: Path, most_bytes: int = LOG_MOST_BYTES) -> None:
    """Drops the older half of a log that has become too long, so that it never fills a disk.

    Those that append to it go on behind its new end.
    """
    with suppress(OSError):
        if path.stat().st_size <= most_bytes:
            return
        with path.open("r+b") as file:
            file.seek(-(most_bytes // 2), 2)
            kept = file.read().partition(b"\n")[2]
            file.seek(0)
            file.write(_DROPPED + kept)
            file.truncate()


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """Keeps a run's files in place as long as its worker lives.

    Attributes:
        journal: Where this is gone, the run is being deleted: nothing is put back any more.
        contents: Files that others may need while the worker lives, and what they hold.
        log: What the worker prints.
    """

    journal: Path
    contents: Mapping[Path, bytes]
    log: Path

    def keep(self) -> None:
        """Puts back what was removed, and keeps the log short."""
        for path, content in self.contents.items():
            if self.journal.exists() and not path.exists():
                with suppress(WorkError):
                    write_own(path, content)
        trim_log(self.log)
