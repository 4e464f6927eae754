"""Waiting for a run whose worker is another process."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from pixart_tui.runs.run import Run

LIMIT_S: Final = 240


def wait(run: Run, until: Callable[[Run], bool]) -> Run:
    """Follows the run until something is so, and fails if it never is."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        run.poll()
        if until(run):
            return run
        time.sleep(0.01)
    raise AssertionError(f"waited in vain; {run.state()}; {run.log_tail()}")
