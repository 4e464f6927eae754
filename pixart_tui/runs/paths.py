"""Where runs live, and the names of the files in a run's directory."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import platformdirs

from pixart_tui.domain.errors import RequestError

LOCKS_VARIABLE: Final = "PIXART_TUI_LOCKS"


def runs_root() -> Path:
    """The directory of all runs: ``PIXART_TUI_RUNS``, or ``runs`` in the user's state directory."""
    override = os.environ.get("PIXART_TUI_RUNS")
    if override:
        return Path(override)
    if (found := directory_of_user("state")) is not None:
        return found / "runs"
    raise RequestError(
        "there is no home directory to keep runs in",
        cause=f"HOME is not set, and no entry of the password file names user {os.getuid()}",
        next_step="set PIXART_TUI_RUNS to a directory of yours",
    )


def directory_of_user(kind: Literal["state", "cache", "config"]) -> Path | None:
    """The user's own directory for a kind of file; None where there is no home."""
    try:
        found = Path(getattr(platformdirs, f"user_{kind}_dir")("pixart-tui"))
    except RuntimeError:
        return None
    # Older versions leave the ``~`` in it.
    return found if found.is_absolute() else None


def locks_root() -> Path:
    """A directory on this machine for locks (``PIXART_TUI_LOCKS``); homes may be on NFS."""
    override = os.environ.get(LOCKS_VARIABLE)
    if override:
        return Path(override)
    try:
        return Path(tempfile.gettempdir()) / f"pixart-tui-{os.getuid()}"
    except FileNotFoundError as error:
        raise RequestError(
            "there is no directory for temporary files",
            cause=error.strerror or str(error),
            next_step="set TMPDIR or PIXART_TUI_LOCKS to a directory of yours",
        ) from error


@dataclass(frozen=True, slots=True)
class RunPaths:
    """The files of one run.

    Attributes:
        directory: The run's directory; its name is the run's id.
    """

    directory: Path

    @property
    def request(self) -> Path:
        """The file of the request."""
        return self.directory / "request.json"

    @property
    def events(self) -> Path:
        """The journal."""
        return self.directory / "events.jsonl"

    @property
    def log(self) -> Path:
        """The file of the worker's output."""
        return self.directory / "worker.log"

    @property
    def worker(self) -> Path:
        """Which process is the worker."""
        return self.directory / "worker.json"

    @property
    def last_word(self) -> Path:
        """How the last attempt ended where the journal could not take that; blank otherwise."""
        return self.directory / "last_word.json"

    @property
    def heartbeat(self) -> Path:
        """Touched by a living worker."""
        return self.directory / "heartbeat"

    @property
    def live(self) -> Path:
        """The file of the worker's live figures."""
        return self.directory / "live.json"

    @property
    def cancel(self) -> Path:
        """Stands there once canceling was asked for."""
        return self.directory / "cancel"

    @property
    def artifacts(self) -> Path:
        """Images and results."""
        return self.directory / "artifacts"
