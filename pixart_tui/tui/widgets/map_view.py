"""A map of a model's layers; a click chooses one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual import events
from textual.message import Message

from pixart_tui.tui.drawing.layer_grid import LayerGrid
from pixart_tui.tui.drawing.lines import Line
from pixart_tui.tui.drawing.map_lines import MapLayout, Mark, cell_at, map_lines
from pixart_tui.tui.widgets.line_view import LineView


class MapView(LineView):
    """The grid of the layers, and lines below it."""

    DEFAULT_CSS = """
    MapView { height: 1fr; overflow: hidden hidden; }
    """

    class Picked(Message):
        """A layer was clicked.

        Attributes:
            fqn: The layer.
        """

        def __init__(self, fqn: str) -> None:
            super().__init__()
            self.fqn = fqn

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._grid = LayerGrid(())
        self._layout_of_map = MapLayout.of(self._grid, 0)

    def show_map(
        self,
        grid: LayerGrid,
        layout: MapLayout,
        mark: Callable[[str], Mark],
        *,
        cursor: str | None = None,
        below: Sequence[Line] = (),
    ) -> None:
        """Shows a grid: see ``map_lines``; what does not fit ``below`` it is left out."""
        self._grid, self._layout_of_map = grid, layout
        self.show([*map_lines(grid, layout, mark, cursor), *below])

    def on_click(self, event: events.Click) -> None:
        """Chooses the layer under the pointer."""
        fqn = cell_at(self._grid, self._layout_of_map, event.x, event.y)
        if fqn is not None:
            self.post_message(self.Picked(fqn))
