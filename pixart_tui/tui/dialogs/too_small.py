"""The screen of a terminal that is too small for the tabs."""

from __future__ import annotations

from typing import Final

from textual.widgets import Static

LEAST_WIDTH: Final = 80
LEAST_HEIGHT: Final = 24


class TooSmall(Static):
    """Says what size is needed."""

    DEFAULT_CSS = """
    TooSmall { width: 100%; height: 1fr; content-align: center middle; text-align: center; }
    """

    def tell(self, width: int, height: int) -> None:
        """Says it with the size that there is."""
        needed = f"{LEAST_WIDTH}x{LEAST_HEIGHT}"
        self.update(f"pixart-tui needs {needed}\nthis terminal is {width}x{height}\nq leaves")
