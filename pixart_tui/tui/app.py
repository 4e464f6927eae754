"""The dashboard: it shows what runs wrote, and dies without any of them noticing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from types import FrameType
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import Screen
from textual.widgets import ContentSwitcher, Footer

from pixart_tui.domain.errors import RequestError, WorkError
from pixart_tui.tui import themes
from pixart_tui.tui.acting import ActingApp
from pixart_tui.tui.bench_tab.pane import BenchPane
from pixart_tui.tui.board import Board, RunView
from pixart_tui.tui.commands import COMMANDS
from pixart_tui.tui.compare_tab.pane import ComparePane
from pixart_tui.tui.dialogs.help import HelpScreen
from pixart_tui.tui.dialogs.too_small import LEAST_HEIGHT, LEAST_WIDTH, TooSmall
from pixart_tui.tui.messages import BoardRead
from pixart_tui.tui.pictures import HALF_CELLS, ImageMode, Pictures, choose_pictures
from pixart_tui.tui.profile_tab.pane import ProfilePane
from pixart_tui.tui.runs_tab.pane import RunsPane
from pixart_tui.tui.select_tab.pane import SelectPane
from pixart_tui.tui.watch import RunWatch
from pixart_tui.tui.widgets.pane import Pane
from pixart_tui.tui.widgets.tab_strip import TABS, TabStrip
from pixart_tui.tui.work import Work

_POLL_S: Final = 0.5
_LEAVE_LIMIT_S: Final = 3.0
_NOT_BELOW_A_DIALOG: Final = ("show_tab", "next_tab", "open_pictures", "help")
_SIGNALS: Final = (signal.SIGHUP, signal.SIGTERM, signal.SIGINT)


class DashboardApp(ActingApp):
    """Follows runs in tabs.

    Args:
        run_ids: The runs to open; without any, the newest of each kind, and the list first.
        clock: Unix time in seconds.
        poll_s: Seconds between two readings of the runs.
        work: What the keys do to runs.
        pictures: How pictures are shown.
    """

    TITLE = "pixart-tui"
    CSS = """
    #main, ContentSwitcher, Pane { height: 1fr; }
    TooSmall { display: none; }
    .-too-small #main { display: none; }
    .-too-small TooSmall { display: block; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        *(
            Binding(str(number), f"show_tab('{tab}')", title, show=False)
            for number, (tab, title) in enumerate(TABS, start=1)
        ),
        Binding("tab", "next_tab(1)", "Next tab", show=False, priority=True),
        Binding("shift+tab", "next_tab(-1)", "Previous tab", show=False, priority=True),
        Binding("p", "open_pictures", "Pictures", show=False, id="open_pictures"),
        Binding("q", "quit", "Leave"),
        Binding("ctrl+c", "quit", "Leave", show=False, priority=True),
        Binding("question_mark", "help", "Help", key_display="?"),
    ]

    def __init__(
        self,
        run_ids: Sequence[str] = (),
        *,
        clock: Callable[[], float] = time.time,
        poll_s: float = _POLL_S,
        work: Work | None = None,
        pictures: Pictures = HALF_CELLS,
    ) -> None:
        super().__init__(work or Work())
        self.animation_level = "none"
        self._asked_ids = tuple(run_ids)
        self._watch = RunWatch(clock, run_ids)
        self._poll_s = poll_s
        self._profile_id: str | None = None
        self._bench_id: str | None = None
        self._compare_id: str | None = None
        self._pictures = pictures
        self._board: Board | None = None
        self._reading = False

    def compose(self) -> ComposeResult:
        """The strip of tabs, the tabs, the keys."""
        yield TooSmall()
        with Vertical(id="main"):
            yield TabStrip()
            with ContentSwitcher(initial="runs"):
                yield RunsPane(id="runs")
                yield ProfilePane(self._pictures, id="profile")
                yield SelectPane(id="select")
                yield BenchPane(id="bench")
                yield ComparePane(self._pictures, id="compare")
            yield Footer(compact=True)

    def on_mount(self) -> None:
        """Begins to read."""
        for theme in (themes.DARK, themes.LIGHT):
            self.register_theme(theme)
        self.theme = themes.DARK.name
        self._pane.body.focus()
        self._read()
        self.set_interval(self._poll_s, self._read)

    def on_resize(self, event: events.Resize) -> None:
        """Says so where the terminal is too small."""
        width, height = event.size
        self.query_one(TooSmall).tell(width, height)
        too_small = width < LEAST_WIDTH or height < LEAST_HEIGHT
        self.screen_stack[0].set_class(too_small, "-too-small")
        self._show_strip()

    def _read(self) -> None:
        if not self._reading:
            self._reading = True
            self.run_worker(self._read_in_thread(), group="read")

    async def _read_in_thread(self) -> None:
        read = partial(self._watch.read, self._profile_id, self._bench_id, self._compare_id)
        self.post_message(BoardRead(await asyncio.to_thread(read)))

    def on_board_read(self, message: BoardRead) -> None:
        """Shows what the runs are by now."""
        self._reading = False
        if not self.query(TabStrip):
            return  # the screen is being taken down
        if self._asked_ids and not message.board.problem:
            self._open_asked(message.board)
            return
        self._board = board = message.board
        self._profile_id = self._profile_id or board.open_profile
        self._bench_id = self._bench_id or board.open_bench
        self._compare_id = self._compare_id or board.open_compare
        for pane in self.query(Pane):
            pane.show_board(board)
        self._show_strip()
        self.offer_actions()

    def _open_asked(self, board: Board) -> None:
        """Follows the runs that were asked for, and shows the first; then reads again."""
        asked = [run for run in map(board.run, self._asked_ids) if run is not None]
        self._asked_ids = ()
        for run in reversed(asked):
            self.follow_run(run.id, _tab_of(run))
        self._read()

    def follow_run(self, run_id: str, tab: str) -> None:
        """Opens a run in its tab."""
        if tab == "bench":
            self._bench_id = run_id
        elif tab == "profile":
            self._profile_id = run_id
        elif tab == "compare":
            self._compare_id = run_id
        self.show_tab(tab)
        self._read()

    @property
    def tab(self) -> str:
        """The tab that is shown."""
        return self.query_one(ContentSwitcher).current or "runs"

    @property
    def _pane(self) -> Pane:
        return self.query_one(f"#{self.tab}", Pane)

    @property
    def run_shown(self) -> RunView | None:
        """The run that the tab is about."""
        return self._pane.run if self._board else None

    def show_tab(self, tab: str) -> None:
        """Shows a tab."""
        self.query_one(ContentSwitcher).current = tab
        self._pane.body.focus()
        self._pane.redraw()
        self._show_strip()
        self.offer_actions()

    def _show_strip(self) -> None:
        self.query_one(TabStrip).show_tabs(self.tab, self._board or Board(0.0))

    def action_show_tab(self, tab: str) -> None:
        """Shows a tab."""
        self.show_tab(tab)

    def action_open_pictures(self) -> None:
        """Shows the pictures of the run that the tab is about."""
        if (run := self.run_shown) is not None:
            self.follow_run(run.id, "compare")

    def action_next_tab(self, steps: int) -> None:
        """Shows the next tab."""
        names = [tab for tab, _ in TABS]
        self.show_tab(names[(names.index(self.tab) + steps) % len(names)])

    def on_tab_strip_clicked(self, message: TabStrip.Clicked) -> None:
        """Shows the tab that was clicked."""
        self.show_tab(message.tab)

    def on_runs_pane_opened(self, message: RunsPane.Opened) -> None:
        """Shows the run that was chosen in its own tab."""
        self.follow_run(message.run.id, _tab_of(message.run))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers no tab's key below a dialog."""
        if action in _NOT_BELOW_A_DIALOG and len(self.screen_stack) > 1:
            return False
        return super().check_action(action, parameters)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every tab and action by its name."""
        for title, description, action in COMMANDS:
            yield SystemCommand(title, description, partial(self.run_action, action))
        inherited = super().get_system_commands(screen)
        yield from (command for command in inherited if command.title in ("Theme", "Screenshot"))

    def action_help(self) -> None:
        """Shows the keys."""
        self.push_screen(HelpScreen())

    def action_switch_theme(self) -> None:
        """Changes between dark and light."""
        dark = self.current_theme.dark
        self.theme = themes.LIGHT.name if dark else themes.DARK.name


def _tab_of(run: RunView) -> str:
    # The runs' own tab says all that there is about images.
    own = {"bench": "bench", "verify": "select", "compare": "compare", "generate": "runs"}
    return own.get(run.kind, "profile")


def run_dashboard(run_ids: Sequence[str] = (), images: ImageMode = ImageMode.AUTO) -> None:
    """Runs the dashboard until the user leaves it or the terminal goes; runs go on.

    Args:
        run_ids: The runs to open, the first one in front.
        images: How pictures are to be shown.

    Raises:
        RequestError: Standard error, on which Textual draws, is not a terminal.
        WorkError: The dashboard itself failed.
    """
    if sys.__stderr__ is None or not sys.__stderr__.isatty():
        raise RequestError(
            "the dashboard draws on standard error, which is not a terminal",
            "it was sent to a file or a pipe",
            "leave it alone, or look with: pixart-tui runs",
        )
    for name in ("COLUMNS", "LINES"):
        # Where a shell exports them, Textual would keep that size whatever the terminal's is.
        os.environ.pop(name, None)
    # Now, as nothing may ask the terminal once Textual reads from it.
    app = DashboardApp(run_ids, pictures=choose_pictures(images, os.environ))
    asyncio.run(_run(app))
    if app.return_code:
        raise WorkError("the dashboard failed", "see above", "runs go on: pixart-tui runs")


async def _run(app: DashboardApp) -> None:
    # Textual handles none of these: a terminal that closes would kill it half-way.
    loop = asyncio.get_running_loop()
    stuck = threading.Timer(_LEAVE_LIMIT_S, os._exit, (1,))
    stuck.daemon = True

    def leave(_number: int, _frame: FrameType | None) -> None:
        # A terminal that is gone may hold up the way out for ever; there is nothing to lose here.
        with suppress(RuntimeError):
            stuck.start()
        loop.call_soon_threadsafe(app.exit)

    for number in _SIGNALS:
        signal.signal(number, leave)
    try:
        await app.run_async()
    finally:
        stuck.cancel()
