"""The dashboard: it shows what runs wrote, and dies without any of them noticing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Final

from textual import events
from textual.app import ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.driver import Driver
from textual.filter import LineFilter
from textual.screen import Screen
from textual.scrollbar import ScrollBar, ScrollBarRender
from textual.widgets import ContentSwitcher, Footer, Input

from pixart_tui.tui.app import keymap, themes
from pixart_tui.tui.app.commands import COMMANDS
from pixart_tui.tui.app.messages import OverviewRead, RunDeleted
from pixart_tui.tui.app.opening import going_on, lacks_its_profile, profile_of, tab_of
from pixart_tui.tui.app.run_actions import ActingApp
from pixart_tui.tui.app.settings import Images, Settings
from pixart_tui.tui.app.work import Work
from pixart_tui.tui.dialogs.help import HelpScreen, help_lines
from pixart_tui.tui.dialogs.too_small import LEAST_HEIGHT, LEAST_WIDTH, TooSmall
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.styles import StyledScreen
from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.state.watch import RunWatch
from pixart_tui.tui.tabs.bench.pane import BenchPane
from pixart_tui.tui.tabs.compare.pane import ComparePane
from pixart_tui.tui.tabs.log.pane import LogPane
from pixart_tui.tui.tabs.profile.pane import ProfilePane
from pixart_tui.tui.tabs.runs.pane import RunsPane
from pixart_tui.tui.tabs.select.pane import SelectPane
from pixart_tui.tui.terminal.driver import LightDriver
from pixart_tui.tui.terminal.pictures import HALF_CELLS, Pictures
from pixart_tui.tui.widgets.cursor_view import CursorView
from pixart_tui.tui.widgets.pane import Pane
from pixart_tui.tui.widgets.scroll_body import ScrollBody
from pixart_tui.tui.widgets.tab_strip import TABS, TabStrip

_POLL_S: Final = 0.5
_WELCOME_S: Final = 8.0
_NOT_BELOW_A_DIALOG: Final = ("show_tab", "next_tab", "open_pictures", "open_log", "help")
PANES: Final[tuple[type[Pane], ...]] = (
    *(RunsPane, ProfilePane, SelectPane, BenchPane, ComparePane, LogPane),
)
"""The tabs, in the order of ``TABS``."""
_WITH_PICTURES: Final = (ProfilePane, ComparePane)


class DashboardApp(ActingApp):
    """Follows runs in tabs.

    Args:
        run_ids: The runs to open; without any, the newest of each kind, and the list first.
        attach: Whether to open, at the start, the newest run that is going on.
        clock: Unix time in seconds.
        poll_s: Seconds between two readings of the runs.
        work: What the keys do to runs.
        settings: How it looks, and its keys.
        pictures: How pictures are shown.
        driver_class: What draws in the terminal; Textual's choice if None.
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
            Binding(str(number), f"show_tab('{tab}')", title, show=False, id=f"show_{tab}")
            for number, (tab, title) in enumerate(TABS, start=1)
        ),
        Binding("tab", "next_tab(1)", "Next tab", show=False, priority=True, id="next_tab"),
        Binding(
            "shift+tab", "next_tab(-1)", "Tab before", show=False, priority=True, id="previous_tab"
        ),
        Binding("p", "open_pictures", "Pictures", show=False, id="open_pictures"),
        Binding("l", "open_log", "Log", show=False, id="open_log"),
        Binding("question_mark", "help", "Help", key_display="?", id="help"),
        Binding("q", "quit", "Leave", id="leave"),
        Binding("ctrl+p", "command_palette", "All", priority=True, id="palette"),
        Binding("ctrl+l", "redraw", "Draw all again", show=False, priority=True, id="redraw"),
        Binding("ctrl+c", "quit", "Leave", show=False, priority=True),
    ]

    def __init__(
        self,
        run_ids: Sequence[str] = (),
        *,
        attach: bool = False,
        clock: Callable[[], float] = time.time,
        poll_s: float = _POLL_S,
        work: Work | None = None,
        settings: Settings | None = None,
        pictures: Pictures = HALF_CELLS,
        driver_class: type[Driver] | None = None,
    ) -> None:
        super().__init__(work or Work(), driver_class)
        self.animation_level = "none"
        self._settings = settings or Settings()
        # Before anything is styled, as all of it would be styled again.
        for theme in (themes.DARK, themes.LIGHT):
            self.register_theme(theme)
        self.theme = self._theme_asked
        self._ascii_filter = glyphs.AsciiOnly(enabled=self._settings.display.ascii)
        ScrollBar.renderer = glyphs.WholeCells if self.ascii_only else ScrollBarRender
        self._attaching = attach and not run_ids
        self._deleted: set[str] = set()
        self._asked_ids = tuple(run_ids)
        self._watch = RunWatch(clock, run_ids)
        self._poll_s = poll_s
        self._profile_id: str | None = None
        self._bench_id: str | None = None
        self._compare_id: str | None = None
        self._pictures = pictures
        self._overview: Overview | None = None
        self._reading = False
        self._handed_on: events.Key | None = None

    def get_default_screen(self) -> Screen[None]:
        """The screen that knows the styles."""
        return StyledScreen(id="_default")

    def compose(self) -> ComposeResult:
        """The strip of tabs, the tabs, the keys."""
        yield TooSmall()
        with Vertical(id="main"):
            yield TabStrip()
            with ContentSwitcher(initial="runs"):
                for kind, (tab, _) in zip(PANES, TABS, strict=True):
                    yield kind(self._pictures, id=tab) if kind in _WITH_PICTURES else kind(id=tab)
            yield Footer(compact=True, show_command_palette=False)

    def on_mount(self) -> None:
        """Takes the keys that are set."""
        self.set_keymap(self._settings.keys)
        self._pane.body.focus()

    def on_ready(self) -> None:
        """Begins to read, now that the first frame is out and no thread holds it up."""
        self._read()
        self.set_interval(self._poll_s, self._read)

    @property
    def _theme_asked(self) -> str:
        """The theme that is set; of 16 colors the terminal's own, which a theme would lose."""
        theme = self._settings.display.theme
        if self.console.color_system == "standard" and not self.no_color:
            theme = themes.OF_16_COLORS[theme]
        return themes.NAMES[theme]

    def on_resize(self, event: events.Resize) -> None:
        """Says so where the terminal is too small."""
        width, height = event.size
        self.query_one(TooSmall).tell(width, height)
        too_small = width < LEAST_WIDTH or height < LEAST_HEIGHT
        self.screen_stack[0].set_class(too_small, "-too-small")
        if not too_small and self.focused is None:
            self._pane.body.focus()  # what is hidden loses it
        # Textual sets the app's own size only after this.
        self._show_strip(width)

    def _read(self) -> None:
        if not self._reading:
            self._reading = True
            # Not called here: of an app that is closing nothing would await it.
            self.run_worker(self._read_in_thread, group="read")  # type: ignore[arg-type]

    async def _read_in_thread(self) -> None:
        opened = (self._profile_id, self._bench_id, self._compare_id)
        # At first no figures: the run's head and its progress are there the sooner.
        read = partial(self._watch.read, *opened, scored=self._overview is not None)
        self.post_message(OverviewRead(await asyncio.to_thread(read)))

    def on_overview_read(self, message: OverviewRead) -> None:
        """Shows the current state of the runs."""
        self._reading = False
        if not self.query(TabStrip):
            return  # the screen is being taken down
        is_first = self._overview is None
        self._overview = overview = message.overview
        if self._asked_ids and not overview.problem:
            self._open_asked(overview)
        self._stay_with_shown()
        for pane in self.query(Pane):
            pane.show_overview(overview)
        self._show_strip()
        self.offer_actions()
        self._attach_to_newest(overview)
        if is_first:
            self.call_after_refresh(self._read)

    def _attach_to_newest(self, overview: Overview) -> None:
        """At the start opens what is going on, and says so."""
        if overview.problem or not self._attaching or not overview.is_whole:
            return
        self._attaching = False
        if found := going_on(overview):
            run, others = found
            more = f"; {wording.count(others, 'more run')} on tab 1" if others else ""
            text = f"{run.kind} run {run.id} is {run.state}{more}. Leaving lets it run."
            self.tell(text, title="Attached", timeout_s=_WELCOME_S)
            self._open(run, overview)

    def _open_asked(self, overview: Overview) -> None:
        """Follows the runs that were asked for, and shows the first."""
        asked = [run for run in map(overview.run, self._asked_ids) if run is not None]
        if not overview.is_whole and any(lacks_its_profile(run, overview) for run in asked):
            return  # the profile may be among the runs that are not read yet
        self._asked_ids = ()
        for run in reversed(asked):
            self._open(run, overview)

    def _open(self, run: RunView, overview: Overview) -> None:
        """Opens a run in its own tab; a verification with the profile that it is about."""
        tab = tab_of(run)
        if tab == "select":
            about = profile_of(run, overview)
            tab, self._profile_id = ("select", about.id) if about else ("runs", self._profile_id)
        self.follow_run(run.id, tab)

    def follow_run(self, run_id: str, tab: str) -> None:
        """Opens a run in its tab."""
        if tab == "bench":
            self._bench_id = run_id
        elif tab == "profile":
            self._profile_id = run_id
        elif tab == "compare":
            self._compare_id = run_id
        elif tab == "runs":
            self.query_one(RunsPane).choose(run_id)
        self.show_tab(tab)
        self.call_after_refresh(self._read)

    def _stay_with_shown(self) -> None:
        """Keeps the run that is on the screen open; unseen tabs follow the newest run."""
        overview = self._overview
        if overview is None:
            return
        if self.tab in ("profile", "select"):
            self._profile_id = self._profile_id or self._unless_deleted(overview.open_profile)
        elif self.tab == "bench":
            self._bench_id = self._bench_id or self._unless_deleted(overview.open_bench)
        elif self.tab == "compare":
            self._compare_id = self._compare_id or self._unless_deleted(overview.open_compare)

    def _unless_deleted(self, run_id: str | None) -> str | None:
        # A reading that began before a run was deleted still has it open.
        return None if run_id in self._deleted else run_id

    def on_run_deleted(self, message: RunDeleted) -> None:
        """Has another run opened in place of one that is gone."""
        self.tell(f"run {message.run_id} is deleted")
        self._deleted.add(message.run_id)
        self._profile_id = None if self._profile_id == message.run_id else self._profile_id
        self._bench_id = None if self._bench_id == message.run_id else self._bench_id
        self._compare_id = None if self._compare_id == message.run_id else self._compare_id
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
        return self._pane.run if self._overview else None

    def show_tab(self, tab: str) -> None:
        """Shows a tab; the log is that of the run that was looked at."""
        run = self.run_shown
        if tab == "log" and run is not None:
            self.query_one(LogPane).show_run(run.id)
        self.query_one(ContentSwitcher).current = tab
        self._stay_with_shown()
        self._pane.body.focus()
        self._pane.redraw()
        self._show_strip()
        self.offer_actions()

    def _show_strip(self, width: int | None = None) -> None:
        columns = self.size.width if width is None else width
        self.query_one(TabStrip).show_tabs(self.tab, self._overview or Overview(0.0), columns)

    def _turn_to(self, tab: str) -> None:
        """Shows a tab that the user asked for; pictures are those of the run looked at."""
        self._attaching = False
        run = self.run_shown
        if tab == "compare" and run is not None and self._has_pictures(run):
            self._compare_id = run.id
            self._read()
        self.show_tab(tab)

    def _has_pictures(self, run: RunView) -> bool:
        profile = self._overview.profile if self._overview else None
        if run.kind == "profile":
            return profile is not None and profile.run.id == run.id and bool(profile.pairs)
        return run.kind in ("bench", "verify", "compare")

    def action_show_tab(self, tab: str) -> None:
        """Shows a tab."""
        self._turn_to(tab)

    def action_open_pictures(self) -> None:
        """Shows the pictures of the run that the tab is about."""
        if (run := self.run_shown) is not None:
            self.follow_run(run.id, "compare")

    def action_open_log(self) -> None:
        """Shows the log of the run that is looked at."""
        self.show_tab("log")

    def action_next_tab(self, steps: int) -> None:
        """Shows the next tab."""
        names = [tab for tab, _ in TABS]
        self._turn_to(names[(names.index(self.tab) + steps) % len(names)])

    def on_tab_strip_clicked(self, message: TabStrip.Clicked) -> None:
        """Shows the tab that was clicked."""
        self._turn_to(message.tab)

    def on_runs_pane_opened(self, message: RunsPane.Opened) -> None:
        """Shows the run that was chosen in its own tab."""
        self._attaching = False
        if self._overview is not None:
            self._open(message.run, self._overview)

    def on_key(self, event: events.Key) -> None:
        """Hands a character on to the line that was opened while it was on its way.

        Over a slow line keys come together: ``/`` and what is to be filtered for.
        """
        line = self.focused
        if isinstance(line, Input) and event.is_printable and event is not self._handed_on:
            event.prevent_default()
            self._handed_on = events.Key(event.key, event.character)
            line.post_message(self._handed_on)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers no tab's key below a dialog."""
        if action in _NOT_BELOW_A_DIALOG and len(self.screen_stack) > 1:
            return False
        if action == "open_log" and self.tab == "log":
            return False
        return super().check_action(action, parameters)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every tab and action by its name."""
        for title, description, action in COMMANDS:
            yield SystemCommand(title, description, partial(self.run_action, action))
        inherited = super().get_system_commands(screen)
        yield from (command for command in inherited if command.title in ("Theme", "Screenshot"))

    def action_help(self) -> None:
        """Shows the keys and the marks of the tab."""
        self.push_screen(HelpScreen(help_lines(self, self.tab)))

    def action_redraw(self) -> None:
        """Draws everything again, where something else wrote over it."""
        if isinstance(self._driver, LightDriver):
            self._driver.forget()
        self.refresh()

    @property
    def ascii_only(self) -> bool:
        """Whether everything is drawn in ASCII."""
        return self._settings.display.ascii

    @property
    def images(self) -> Images:
        """How pictures are drawn."""
        return "none" if self.ascii_only else self._settings.display.images

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Keeps control codes from the terminal, and exchanges the glyphs where asked for."""
        filters = (*super().get_line_filters(), _TEXT_ONLY)
        return [*filters, self._ascii_filter] if self._ascii_filter.enabled else filters

    @classmethod
    def check_keys(cls, keys: Mapping[str, str], place: str) -> None:
        """Refuses keys that could not be obeyed.

        Args:
            keys: Keys by the name of what they do.
            place: Where they are set.

        Raises:
            RequestError: An unknown name or key, or one key for two things on one tab.
        """
        keymap.check_keys(keys, (cls, CursorView, ScrollBody), PANES, place)

    def action_switch_theme(self) -> None:
        """Changes between dark and light."""
        self.theme = themes.OTHER.get(self.theme, themes.DARK.name)


_TEXT_ONLY: Final = glyphs.TextOnly()
