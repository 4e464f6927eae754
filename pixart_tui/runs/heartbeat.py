"""A file that a living worker touches, for viewers on other hosts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixart_tui.runs.process import HEARTBEAT_INTERVAL_S


@contextmanager
def heartbeat(path: Path) -> Iterator[None]:
    """Touches a file every two seconds while the context lasts."""
    stopped = threading.Event()

    def beat() -> None:
        while True:
            # A full disk must not end the work; the journal reports it when it matters.
            with suppress(OSError):
                path.touch()
            if stopped.wait(HEARTBEAT_INTERVAL_S):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
