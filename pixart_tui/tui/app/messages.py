"""Messages from background work to the app, whose handlers alone change the screen."""

from __future__ import annotations

from textual.message import Message

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.tui.state.overview import Overview


class OverviewRead(Message):
    """The runs were read.

    Attributes:
        overview: The current state of all runs.
    """

    def __init__(self, overview: Overview) -> None:
        super().__init__()
        self.overview = overview


class RunStarted(Message):
    """A new run has its worker.

    Attributes:
        run_id: The run.
        tab: Where it is shown.
    """

    def __init__(self, run_id: str, tab: str) -> None:
        super().__init__()
        self.run_id = run_id
        self.tab = tab


class RunDeleted(Message):
    """A run is gone.

    Attributes:
        run_id: The run.
    """

    def __init__(self, run_id: str) -> None:
        super().__init__()
        self.run_id = run_id


class WorkDone(Message):
    """Something was done that the next reading of the runs shows.

    Attributes:
        note: What, in words.
    """

    def __init__(self, note: str) -> None:
        super().__init__()
        self.note = note


class SelectionSaved(Message):
    """A selection's files stand complete.

    Attributes:
        path: The onediffx JSON.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path


class WorkFailed(Message):
    """Something could not be done.

    Attributes:
        error: Why.
    """

    def __init__(self, error: PixartTuiError) -> None:
        super().__init__()
        self.error = error
