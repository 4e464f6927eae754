"""Textual's driver, with what the terminal shows already left out of all that it writes."""

from __future__ import annotations

import os
import signal
from types import FrameType
from typing import Any, Final

from textual import events
from textual.drivers.linux_driver import LinuxDriver
from textual.message import Message

from pixart_tui.tui.terminal.shown_cells import ShownCells

_SYNC_BEGIN: Final = "\x1b[?2026h"
_SYNC_END: Final = "\x1b[?2026l"


class LightDriver(LinuxDriver):
    """Draws in a terminal at the far end of a line: only cells that change are sent.

    Textual sends each line of a widget from its first to its last change, with all colors spelled
    out anew for every piece of text. Here that is compared with what the terminal shows.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._shown = ShownCells(0, 0)
        self._held = ""

    def start_application_mode(self) -> None:
        """Takes the terminal."""
        super().start_application_mode()  # type: ignore[no-untyped-call]
        resized = signal.getsignal(signal.SIGWINCH)

        def forget_then_resize(number: int, frame: FrameType | None) -> None:
            self.forget()
            if callable(resized):
                resized(number, frame)

        signal.signal(signal.SIGWINCH, forget_then_resize)
        self.forget()

    def process_message(self, message: Message) -> None:
        """Passes on what the terminal says; its size it may say itself."""
        if isinstance(message, events.Resize):
            self.forget()
        super().process_message(message)

    def forget(self) -> None:
        """Takes nothing for known that the terminal shows: all that comes is sent."""
        try:
            columns, rows = os.get_terminal_size(self.fileno)
        except OSError:
            columns, rows = 0, 0
        self._shown = ShownCells(columns, rows)

    def write(self, data: str) -> None:
        """Sends what a frame changes; of one that changes nothing, not even its marks."""
        if data == _SYNC_BEGIN:
            self._held = data
        elif data == _SYNC_END and self._held:
            self._held = ""
        elif data == _SYNC_END:
            super().write(data)
        elif changes := self._shown.changes(data):
            held, self._held = self._held, ""
            super().write(held + changes)
