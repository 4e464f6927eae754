"""The tab with what a run's worker printed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.widgets import Input

from pixart_tui.runs.paths import RunPaths, runs_root
from pixart_tui.tui.drawing.lines import Span, line
from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.tabs.log import reading
from pixart_tui.tui.tabs.log.body import LogBody
from pixart_tui.tui.tabs.log.lines import Row, Search, head_lines, rows_of
from pixart_tui.tui.tabs.log.reading import LogPart
from pixart_tui.tui.tabs.log.search_box import SearchBox
from pixart_tui.tui.widgets.line_view import LineBlock, LineView
from pixart_tui.tui.widgets.pane import Pane

_POLL_S: Final = 1.0


class LogPane(Pane):
    """The worker's log: its end while it grows, all of it on demand."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "search", "Search", key_display="/", id="search_log"),
        Binding("n", "find_next", "Next", id="find_next"),
        Binding("N", "find_previous", "Before", id="find_previous"),
        Binding("f", "follow_end", "End", id="follow_log"),
    ]

    class Read(Message):
        """A part of the log was read.

        Attributes:
            run_id: The run that it is of.
            part: The part.
            anchor: The line to keep on top, None for the end.
            search: What was found there.
            note: What there is to say.
        """

        def __init__(
            self, run_id: str, part: LogPart, anchor: int | None, search: Search, note: str = ""
        ) -> None:
            super().__init__()
            self.run_id = run_id
            self.part = part
            self.anchor = anchor
            self.search = search
            self.note = note

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._run_id: str | None = None
        self._part: LogPart | None = None
        self._rows: tuple[Row, ...] = ()
        self._laid_out: tuple[LogPart, Search, int] | None = None
        self._search = Search()
        self._note = ""
        self._following = True
        self._one_at_a_time = asyncio.Lock()
        self._read_s = 0.0

    def compose(self) -> ComposeResult:
        """The head, the log, and the box for searching."""
        yield LineBlock(id="log-head")
        yield LogBody(id="log-body")
        yield SearchBox()

    @property
    def body(self) -> LineView:
        """The log."""
        return self.query_one(LogBody)

    @property
    def run(self) -> RunView | None:
        """The run whose log it is: the one that was looked at, else the newest."""
        if self.overview is None:
            return None
        newest = self.overview.runs[0] if self.overview.runs else None
        return self.overview.run(self._run_id) or newest

    def show_run(self, run_id: str) -> None:
        """Shows the log of a run, from its end."""
        if run_id != self._run_id:
            self._run_id = run_id
            self._forget()

    def _forget(self) -> None:
        self._part, self._search, self._note = None, Search(), ""
        self._following, self._read_s = True, 0.0
        self.redraw()

    def draw(self, overview: Overview, width: int) -> None:
        """Draws what was read; reads on where there may be more."""
        run = self.run
        head = self.query_one(LineBlock)
        if run is None:
            head.show([])
            self.body.show([line(), line(Span(" No run, so no log.", "muted"))])
            return
        self._run_id = run.id
        head.show(head_lines(run, self._part, self._place(), self._note, width))
        self._draw_part(width)
        if self._is_due():
            self._read_end(run.id, self._part)

    def _is_due(self) -> bool:
        if self._one_at_a_time.locked() or not (self._following or self._part is None):
            return False
        return time.monotonic() - self._read_s >= _POLL_S

    def _draw_part(self, width: int) -> None:
        if self._part is None:
            self.body.show([])
            return
        wanted = (self._part, self._search, width)
        if wanted != self._laid_out:
            self._laid_out = wanted
            self._rows = tuple(rows_of(self._part, self._search, width - 1))
        nothing = [line(Span(" The worker printed nothing.", "muted"))]
        self.body.show([row.content for row in self._rows] or nothing)

    def _place(self) -> str:
        part = self._part
        if part is None or not part.size:
            return "empty"
        if self._following:
            return "at its end"
        return f"at {100 * self._top_offset() // part.size}%"

    def _top_offset(self) -> int:
        """Where the line of the log begins that is on top."""
        top = min(self.body.scroll_offset.y, len(self._rows) - 1)
        return self._rows[top].offset if self._rows else 0

    def _read_end(self, run_id: str, part: LogPart | None) -> None:
        def read(path: Path) -> LogPart:
            more = reading.read_more(path, part) if part else reading.read_tail(path)
            return more if more.is_last else reading.read_tail(path)

        self._read(run_id, read, None)

    def _read(self, run_id: str, read: Callable[[Path], LogPart], anchor: int | None) -> None:
        search = self._search
        self._do(lambda path: self.Read(run_id, read(path), anchor, search), run_id)

    def _do(self, act: Callable[[Path], Message], run_id: str) -> None:
        self._read_s = time.monotonic()
        self.run_worker(self._do_in_thread(act, run_id), group="log")

    async def _do_in_thread(self, act: Callable[[Path], Message], run_id: str) -> None:
        path = RunPaths(runs_root() / run_id).log
        async with self._one_at_a_time:
            try:
                message = await asyncio.to_thread(act, path)
            except OSError as error:
                gone = isinstance(error, FileNotFoundError)
                note = "" if gone else f"{path}: {error.strerror}"
                message = self.Read(run_id, LogPart(), None, self._search, note)
        self.post_message(message)

    def on_log_pane_read(self, message: Read) -> None:
        """Shows what was read, the line on top staying where it is."""
        if message.run_id != self._run_id:
            self.redraw()
            return
        self._part, self._search, self._note = message.part, message.search, message.note
        self._following = message.anchor is None
        self.redraw()
        # Only then the body knows how long it is.
        self.call_after_refresh(self._show_line, message.anchor)

    def _show_line(self, offset: int | None) -> None:
        """Scrolls to a line, or to the end."""
        y = len(self._rows)
        if offset is not None:
            y = next((y for y, row in enumerate(self._rows) if row.offset >= offset), y)
        self.body.scroll_to(y=y, animate=False, immediate=True)
        self._draw_head()

    def _draw_head(self) -> None:
        run = self.run
        if run is not None and self.size.width:
            lines = head_lines(run, self._part, self._place(), self._note, self.size.width)
            self.query_one(LineBlock).show(lines)

    def on_log_body_scrolled(self, message: LogBody.Scrolled) -> None:
        """Reads on where the part that was read ends."""
        part, run_id = self._part, self._run_id
        if part is None or run_id is None:
            return
        self._following = part.is_last and message.at_bottom
        top = self._top_offset()
        if message.at_top and part.start > 0:
            self._read(run_id, lambda path: reading.read_earlier(path, part), top)
        elif message.at_bottom and not part.is_last:
            self._read(run_id, lambda path: reading.read_more(path, part), top)
        self._draw_head()

    def on_log_body_whole_asked(self, message: LogBody.WholeAsked) -> None:
        """Goes to the beginning or to the end."""
        if not message.first:
            self.action_follow_end()
        elif self._run_id is not None:
            self._read(self._run_id, lambda path: reading.read_around(path, 0), 0)

    def action_follow_end(self) -> None:
        """Goes to the end, and stays there as it grows."""
        if self._run_id is not None:
            self._read_end(self._run_id, None)

    def action_search(self) -> None:
        """Asks for what to search."""
        self.query_one(SearchBox).ask(self._search.query)

    def on_input_submitted(self, message: Input.Submitted) -> None:
        """Searches from the line on top."""
        message.stop()
        self.query_one(SearchBox).leave()
        self.body.focus()
        self._search = Search(message.value)
        self._find(message.value, backwards=False, from_top=True)

    def on_search_box_left(self) -> None:
        """Goes back to the log."""
        self.body.focus()

    def action_find_next(self) -> None:
        """Goes to the next line that holds the text."""
        self._find(self._search.query, backwards=False)

    def action_find_previous(self) -> None:
        """Goes to the line before that holds the text."""
        self._find(self._search.query, backwards=True)

    def _find(self, query: str, *, backwards: bool, from_top: bool = False) -> None:
        run_id, part = self._run_id, self._part
        if run_id is None or part is None:
            return
        if not query:
            self._note = ""
            self.redraw()
            return
        begin = self._search.offset + (0 if backwards else 1)
        if from_top or self._search.offset < 0:
            begin = self._top_offset()
        self._do(lambda path: _found(run_id, path, part, Search(query, begin), backwards), run_id)


def _found(run_id: str, path: Path, part: LogPart, search: Search, backwards: bool) -> LogPane.Read:
    """The place where the text is found next, from the other end on if need be."""
    query, note = search.query, ""
    offset = reading.find(path, query, search.offset, backwards=backwards)
    if offset is None:
        note = "from the end" if backwards else "from the beginning"
        other_end = path.stat().st_size if backwards else 0
        offset = reading.find(path, query, other_end, backwards=backwards)
    if offset is None:
        nothing = f'"{query}" is nowhere in this log'
        anchor = part.lines[0].offset if part.lines else 0
        return LogPane.Read(run_id, part, anchor, Search(query), nothing)
    if not part.start <= offset < part.end:
        part = reading.read_around(path, offset)
    return LogPane.Read(run_id, part, offset, Search(query, offset), note)
