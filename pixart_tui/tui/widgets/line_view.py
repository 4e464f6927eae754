"""A scrolling view of lines that repaints only the cells that changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, get_args

from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from pixart_tui.tui.lines import Ink, Line, changed_cells, plain

_CURSOR: Final = "line-view--cursor"


class LineView(ScrollView, can_focus=False):
    """Shows lines; ``show`` again with other lines sends only the difference over the wire."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {_CURSOR, *(f"ink--{ink}" for ink in get_args(Ink))}
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
        & .ink--text { color: $foreground; }
        & .ink--muted { color: $foreground 55%; }
        & .ink--title { color: $foreground; text-style: bold; }
        & .ink--head { color: $foreground 70%; text-style: bold; }
        & .ink--live { color: $primary; }
        & .ink--good { color: $success; }
        & .ink--warn { color: $warning; }
        & .ink--bad { color: $error; }
        & .ink--track { color: $foreground 25%; }
        & .ink--floor { color: $accent; }
        & .ink--heat1 { color: $primary; }
        & .ink--heat2 { color: $primary 75%; }
        & .ink--heat3 { color: $primary 50%; }
        & .ink--heat4 { color: $foreground 70%; }
        & .ink--heat5 { color: $warning 80%; }
        & .ink--heat6 { color: $warning; }
        & .ink--heat7 { color: $error; text-style: bold; }
        & .ink--active { color: $background; background: $primary; text-style: bold; }
        & .ink--cursor { color: $foreground; background: $primary 50%; text-style: bold; }
        & .line-view--cursor { background: $primary 25%; }
        &:ansi {
            & .ink--muted, & .ink--track { text-style: dim; }
            & .ink--active { color: ansi_default; background: ansi_default; }
            & .ink--active { text-style: bold reverse; }
            & .line-view--cursor { background: ansi_default; text-style: reverse; }
        }
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
        behind = Style()
        if self.marks(index):
            cursor = self.get_component_rich_style(_CURSOR)
            behind = Style(bgcolor=cursor.bgcolor, reverse=cursor.reverse or None)
        segments = [Segment(span.text, self._ink(span.ink) + behind) for span in content]
        return Strip(segments).adjust_cell_length(width, self.rich_style + behind).simplify()

    def marks(self, index: int) -> bool:
        """Whether the line at this index is the one under the cursor."""
        return False

    def _ink(self, ink: Ink) -> Style:
        return self.get_component_rich_style(f"ink--{ink}")

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
