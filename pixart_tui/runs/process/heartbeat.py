"""Runs every two seconds while a worker lives: it touches a file, for other hosts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pixart_tui.runs.identity import HEARTBEAT_INTERVAL_S


@contextmanager
def heartbeat(path: Path, keep: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Touches a file every two seconds while the context lasts.

    Args:
        path: The file.
        keep: Called as often, and once more at the end.
    """
    stopped = threading.Event()

    def beat() -> None:
        while True:
            # A full disk must not end the work; the journal reports it when it matters.
            with suppress(OSError):
                path.touch()
            with suppress(OSError):
                keep()
            if stopped.wait(HEARTBEAT_INTERVAL_S):
                return

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        with suppress(OSError):
            keep()
