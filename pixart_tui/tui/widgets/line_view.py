"""A scrolling view of lines that repaints only the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from pixart_tui.tui.drawing.lines import Line, changed_cells, plain
from pixart_tui.tui.drawing.styles import behind_cursor, rich_style


class LineView(ScrollView, can_focus=False):
    """Shows lines; ``show`` again with other lines sends only the difference over the wire."""

    DEFAULT_CSS = """
    LineView {
        background: $background;
        color: $foreground;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        scrollbar-background: $background;
        scrollbar-background-hover: $background;
        scrollbar-background-active: $background;
        scrollbar-color: $foreground 25%;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: Sequence[Line] = ()

    @property
    def text(self) -> str:
        """Everything in it as plain text, scrolled out of sight or not."""
        return "\n".join(plain(content).rstrip() for content in self._lines)

    def show(self, lines: Sequence[Line]) -> None:
        """Replaces the lines; they must not change afterwards."""
        old, self._lines = self._lines, lines
        if len(old) != len(lines):
            self._take_height()
        top = self.scroll_offset.y
        for y in range(top, top + self.size.height):
            before, after = _at(old, y), _at(lines, y)
            if before != after:
                self._refresh_cells(y, before, after)

    def render_line(self, y: int) -> Strip:
        """One visible line."""
        width = self.scrollable_content_region.width
        index = self.scroll_offset.y + y
        content = _at(self._lines, index)
        app, own = self.app, self.rich_style
        paper = Style(bgcolor=own.bgcolor)
        behind = behind_cursor(app) if self.marks(index) else Style()
        segments = [
            Segment(span.text, rich_style(app, span.cell_style, paper) + behind) for span in content
        ]
        return Strip(segments).adjust_cell_length(width, own + behind).simplify()

    def marks(self, index: int) -> bool:
        """Whether the line at this index is the one under the cursor."""
        return False

    def _take_height(self) -> None:
        self.virtual_size = Size(self.virtual_size.width, len(self._lines))

    def _refresh_cells(self, y: int, before: Line, after: Line) -> None:
        first, length = changed_cells(before, after)
        self.refresh(Region(first, y - self.scroll_offset.y, length, 1))


def _at(lines: Sequence[Line], index: int) -> Line:
    return lines[index] if index < len(lines) else ()


class LineBlock(LineView):
    """Lines that do not scroll: as high as they are many."""

    DEFAULT_CSS = """
    LineBlock { height: 0; overflow: hidden hidden; }
    """

    def _take_height(self) -> None:
        super()._take_height()
        self.styles.height = len(self._lines)
