"""A run as JSON lines on stdout: its journal, as it grows."""

from __future__ import annotations

import time
from typing import Final

from pixart_tui.cli.display.writing import say_json
from pixart_tui.runs.journal import JournalReader
from pixart_tui.runs.run import Run

_POLL_S: Final = 0.2


def stream_json(run: Run) -> None:
    """Prints every event of the run, the old ones too, until it ends.

    Raises:
        BrokenPipeError: The reader went away; the run goes on.
    """
    reader = JournalReader(run.paths.events)
    while True:
        run.poll()
        finished = run.state().is_finished
        while entries := reader.poll():
            for entry in entries:
                say_json(entry, indent=None)
        if finished:
            for entry in run.unjournalled:
                say_json(entry, indent=None)
            return
        time.sleep(_POLL_S)
