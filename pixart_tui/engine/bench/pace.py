"""How fast a pipeline's steps go while they go, told at most twice a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from pixart_tui.engine.bench.clock import Clock

Mark = TypeVar("Mark")

TELL_EVERY_S: Final = 0.5


class StepPace:
    """Follows the step-end marks that the timer takes anyway.

    Between two tellings it costs one look at the clock. It waits for no device: of marks that the
    device has not passed it makes nothing.

    Args:
        tell: Takes steps per second over the steps since the last telling, within one call.
    """

    def __init__(self, tell: Callable[[float], None]) -> None:
        self._tell = tell
        self._told_s = time.perf_counter()
        self._from = 0

    def begin(self) -> None:
        """A call begins: its first mark is the first to count from."""
        self._from = 0

    def stepped(self, marks: Sequence[Mark], clock: Clock[Mark]) -> None:
        """A step has ended, on the processor at least."""
        now_s = time.perf_counter()
        if now_s - self._told_s < TELL_EVERY_S:
            return
        last = self._from
        while last + 1 < len(marks) and clock.is_past(marks[last + 1]):
            last += 1
        if last == self._from:
            return
        elapsed_s = clock.elapsed_s(marks[self._from], marks[last])
        self._tell((last - self._from) / elapsed_s)
        self._from, self._told_s = last, now_s
