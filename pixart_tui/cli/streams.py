"""Opens standard streams that the parent process has closed."""

from __future__ import annotations

import os
import sys
from typing import Final

_STREAMS: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_closed_streams() -> None:
    """Opens closed standard streams on the null device, as ``<&-`` and services leave them.

    Python has None for them, and the next file that is opened would get their number: what a
    library prints would end up in a journal.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        if getattr(sys, name) is None:
            handle = os.open(os.devnull, os.O_RDWR)
            # The lowest free number: the stream's own, unless something else has taken that.
            os.set_inheritable(handle, handle == number)
            setattr(sys, name, os.fdopen(handle, mode, encoding="utf-8", errors="replace"))
