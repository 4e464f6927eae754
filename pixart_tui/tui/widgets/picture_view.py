"""A picture in the dashboard."""

from __future__ import annotations

import asyncio
from itertools import zip_longest
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Container
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from pixart_tui.tui.pictures import Cells, ImageMode, fitted, half_cells

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
            pairs = enumerate(zip_longest(before, after))
            if changed := [x for x, (was, now) in pairs if was != now]:
                self.refresh(Region(changed[0], y, changed[-1] - changed[0] + 1, 1))

    def render_line(self, y: int) -> Strip:
        """One row."""
        row = self._cells[y] if y < len(self._cells) else ()
        return Strip(row, len(row)).adjust_cell_length(self.size.width, self.rich_style)


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
            self.run_worker(self._draw_sized(*wanted), exclusive=True)

    async def _draw_sized(self, image: Image | None, width: int, height: int) -> None:
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
