"""A picture in the dashboard."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from rich.segment import Segment
from textual import work
from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from pixart_tui.tui.terminal.pictures import Cells, ImageMode, fitted, half_cells

_GAP: Final = 1
"""Moving the cursor costs a fifth of a cell; more and smaller regions cost Textual time."""

if TYPE_CHECKING:
    from PIL.Image import Image


class HalfCells(Widget, can_focus=False):
    """Shows rows of cells; showing others sends only the cells that changed over the wire."""

    DEFAULT_CSS = "HalfCells { background: $background; }"

    def __init__(self) -> None:
        super().__init__()
        self._cells: Cells = ()

    def show(self, cells: Cells) -> None:
        """Replaces the cells."""
        old, self._cells = self._cells, cells
        for y, (before, after) in enumerate(zip_longest(old, cells, fillvalue=())):
            for first, end in changed_runs(before, after):
                self.refresh(Region(first, y, end - first, 1))

    def render_line(self, y: int) -> Strip:
        """One row."""
        row = self._cells[y] if y < len(self._cells) else ()
        strip = Strip(row, len(row)).adjust_cell_length(self.size.width, self.rich_style)
        return strip.simplify()


def changed_runs(before: Sequence[Segment], after: Sequence[Segment]) -> list[tuple[int, int]]:
    """Where two rows differ: first cell and end of each stretch, with small gaps in it."""
    runs: list[tuple[int, int]] = []
    for x, (was, now) in enumerate(zip_longest(before, after)):
        if was == now:
            continue
        if runs and x - runs[-1][1] <= _GAP:
            runs[-1] = (runs[-1][0], x + 1)
        else:
            runs.append((x, x + 1))
    return runs


class PictureView(Container):
    """Shows one image as large as fits, in the way this terminal can.

    Args:
        mode: How; nothing is drawn for ``none``.
        id: The widget's id.
    """

    DEFAULT_CSS = """
    PictureView { height: 1fr; background: $background; overflow: hidden hidden; }
    PictureView HalfCells { width: 100%; height: 100%; }
    """

    def __init__(self, mode: ImageMode, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._mode = mode
        self._image: Image | None = None
        self._shown: tuple[Image | None, int, int] = (None, 0, 0)

    def compose(self) -> ComposeResult:
        """The widget that draws."""
        if self._mode is ImageMode.HALFCELL:
            yield HalfCells()
        elif self._mode is not ImageMode.NONE:
            from textual_image import widget

            kitty = self._mode is ImageMode.KITTY
            yield widget.TGPImage() if kitty else widget.SixelImage()

    def show(self, image: Image | None) -> None:
        """Shows an image, which is decoded already; None clears."""
        self._image = image
        self._draw()

    def on_resize(self) -> None:
        """Draws in the new size."""
        self._draw()

    def _draw(self) -> None:
        wanted = (self._image, self.size.width, self.size.height)
        if self.size.area and wanted != self._shown and self._mode is not ImageMode.NONE:
            self._shown = wanted
            self._draw_shown()

    @work(exclusive=True)
    async def _draw_shown(self) -> None:
        image, width, height = self._shown
        if self._mode is not ImageMode.HALFCELL:
            self._hand_over(image, width, height)
            return
        cells: Cells = ()
        if image is not None:
            columns, rows = fitted(image.size, width, height)
            cells = await asyncio.to_thread(half_cells, image, columns, rows)
        self.query_one(HalfCells).show(cells)

    def _hand_over(self, image: Image | None, width: int, height: int) -> None:
        """Gives an image to textual-image, with the side that fits."""
        from textual_image.widget import SixelImage, TGPImage

        drawer = self.query_one(TGPImage if self._mode is ImageMode.KITTY else SixelImage)
        if image is not None:
            columns, rows = fitted(image.size, width, height)
            drawer.styles.width, drawer.styles.height = columns, rows
        drawer.image = image
