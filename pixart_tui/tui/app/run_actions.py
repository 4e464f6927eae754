"""Actions on runs behind the dashboard's keys: threads work, handlers report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.message import Message
from textual.notifications import SeverityLevel

from pixart_tui.domain.errors import PixartTuiError, RequestError, WorkError
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.tui.app.messages import RunDeleted, RunStarted, SelectionSaved, WorkDone, WorkFailed
from pixart_tui.tui.app.work import Work
from pixart_tui.tui.dialogs.confirm import ConfirmScreen
from pixart_tui.tui.drawing.lines import printable
from pixart_tui.tui.drawing.states import RESUMABLE
from pixart_tui.tui.state.overview import RunView
from pixart_tui.tui.state.requests import compare_request
from pixart_tui.tui.tabs.profile.pane import ProfilePane
from pixart_tui.tui.tabs.select.pane import SelectPane

if TYPE_CHECKING:
    from pixart_tui.tui.tabs.new_run.fields import FormKind
    from pixart_tui.tui.tabs.new_run.screen import Draft

_ERROR_SHOWN_S: Final = 12.0
_ON_RUNS: Final = ("new_run", "resume_run", "cancel_run", "delete_run")


class ActingApp(App[None]):
    """An app whose keys start, resume and cancel runs, and save selections."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_run", "New", id="new_run"),
        Binding("r", "resume_run", "Resume", id="resume_run"),
        Binding("c", "cancel_run", "Cancel", id="cancel_run"),
        Binding("d", "delete_run", "Delete", id="delete_run"),
    ]

    def __init__(self, work: Work, driver_class: type[Driver] | None = None) -> None:
        super().__init__(driver_class)
        self._work = work
        self._draft: Draft = {}
        self._offer: tuple[bool, ...] = ()

    @property
    def tab(self) -> str:
        """The tab that is shown."""
        raise NotImplementedError

    @property
    def run_shown(self) -> RunView | None:
        """The run that the tab is about."""
        raise NotImplementedError

    def show_tab(self, tab: str) -> None:
        """Shows a tab."""
        raise NotImplementedError

    def follow_run(self, run_id: str, tab: str) -> None:
        """Opens a run in its tab."""
        raise NotImplementedError

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offers an action on a run only where it makes sense, and never below a dialog."""
        if action not in _ON_RUNS:
            return super().check_action(action, parameters)
        return len(self.screen_stack) == 1 and self._makes_sense(action)

    def _makes_sense(self, action: str) -> bool:
        if action == "new_run":
            return self.tab in ("runs", "profile", "bench")
        run = self.run_shown
        if run is None:
            return False
        if action == "delete_run":
            return self.tab == "runs" and run.state.is_finished
        if action == "resume_run":
            return run.state in RESUMABLE and run.request is not None
        return not run.state.is_finished

    def offer_actions(self) -> None:
        """Updates the footer if other actions apply now."""
        offer = tuple(self._makes_sense(name) for name in _ON_RUNS)
        if offer != self._offer:
            self._offer = offer
            self.refresh_bindings()

    def action_new_run(self) -> None:
        """Shows the form of a new run."""
        from pixart_tui.tui.tabs.new_run.screen import NewRunScreen  # the first paint needs no form

        kind: FormKind = "bench" if self.tab == "bench" else "profile"

        def answered(words: tuple[str, ...] | None) -> None:
            if words:
                self._do(lambda: self._start(words))

        self.push_screen(NewRunScreen(kind, self._draft, self._work.ask), answered)

    def action_resume_run(self) -> None:
        """Starts a worker on the tab's run."""
        run = self.run_shown
        if run is not None:
            self._do(lambda: self._resume(run.id))

    def action_cancel_run(self) -> None:
        """Asks, then stops the tab's run."""
        run = self.run_shown
        if run is None:
            return
        stay = "; r begins anew" if run.kind == "generate" else " and stay; r resumes it later"
        text = [f"{run.done} of {run.total or '?'} are done{stay}"]
        self._ask(
            f"Cancel {run.kind} run {run.id} of {run.model}?",
            text,
            "cancel it",
            "let it run",
            lambda: self._cancel(run.id),
        )

    def action_delete_run(self) -> None:
        """Asks, then deletes the run under the cursor."""
        run = self.run_shown
        if run is None:
            return
        text = [
            f"its {run.done} of {run.total or '?'} results, its log and its pictures go;",
            "files that it wrote elsewhere stay",
            *(f"  {path}" for path in run.written),
        ]
        self._ask(
            f"Delete {run.kind} run {run.id} of {run.model}?",
            text,
            "delete it",
            "keep it",
            lambda: self._delete(run.id),
        )

    async def action_in_tab(self, tab: str, name: str) -> None:
        """Does one of a tab's actions from the command palette."""
        self.show_tab(tab)
        await self.run_action(name, self.query_one(f"#{tab}"))

    def on_select_pane_chosen(self, message: SelectPane.Chosen) -> None:
        """Saves a selection, or does more with it if that was asked for."""
        acts = {"save": self._save, "bench": self._bench, "verify": self._verify}
        self._do(lambda: acts[message.purpose](message))

    def on_profile_pane_pictures_wanted(self, message: ProfilePane.PicturesWanted) -> None:
        """Asks, then makes the pictures of a layer in a run of their own."""
        asked = message.view.run.request
        profile = message.view.profile
        if not isinstance(asked, ProfileRequest) or profile is None:
            return
        try:
            request = compare_request(asked, profile.conditions.quant_type, message.fqn)
        except RequestError as error:
            self.post_message(WorkFailed(error))
            return
        text = [
            f"layer       {message.fqn}",
            f"quant type  {request.quant_type}",
            f"device      {request.device}",
            f"writes      {request.output}",
        ]
        self._ask(
            "Make pictures with this layer quantized?",
            text,
            "make them",
            "not now",
            lambda: RunStarted(self._work.start_compare(request), "compare"),
        )

    def on_run_started(self, message: RunStarted) -> None:
        """Goes to the new run."""
        self.follow_run(message.run_id, message.tab)

    def on_work_done(self, message: WorkDone) -> None:
        """Says what was done."""
        self.tell(message.note)

    def on_selection_saved(self, message: SelectionSaved) -> None:
        """Says where the selection stands."""
        self.query_one(SelectPane).tell(f"saved {message.path}")

    def on_work_failed(self, message: WorkFailed) -> None:
        """Says what could not be done, why, and what to do."""
        error = message.error
        details = "\n".join(filter(None, (error.cause, error.next_step))) or error.title
        self.tell(details, title=error.title, severity="error", timeout_s=_ERROR_SHOWN_S)

    def tell(
        self,
        text: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout_s: float | None = None,
    ) -> None:
        """Shows a note for a while; nothing in it is markup."""
        lines = "\n".join(map(printable, text.split("\n")))
        self.notify(
            lines, title=printable(title), severity=severity, timeout=timeout_s, markup=False
        )

    def _ask(
        self, title: str, text: list[str], yes: str, no: str, act: Callable[[], Message]
    ) -> None:
        def answered(agreed: bool | None) -> None:
            if agreed:
                self._do(act)

        self.push_screen(ConfirmScreen(title, text, yes, no), answered)

    def _do(self, act: Callable[[], Message]) -> None:
        self.run_worker(self._do_in_thread(act), group="work")

    async def _do_in_thread(self, act: Callable[[], Message]) -> None:
        try:
            message = await asyncio.to_thread(act)
        except PixartTuiError as error:
            message = WorkFailed(error)
        except OSError as error:
            name = error.filename or "a file"
            message = WorkFailed(
                WorkError(f"{name} cannot be used", cause=error.strerror or str(error))
            )
        self.post_message(message)

    def _start(self, words: tuple[str, ...]) -> Message:
        return RunStarted(*self._work.start_new(words))

    def _resume(self, run_id: str) -> Message:
        self._work.resume(run_id)
        return WorkDone(f"run {run_id} goes on")

    def _cancel(self, run_id: str) -> Message:
        self._work.cancel(run_id)
        return WorkDone(f"run {run_id} has stopped")

    def _delete(self, run_id: str) -> Message:
        self._work.delete(run_id)
        return RunDeleted(run_id)

    def _save(self, message: SelectPane.Chosen) -> Message:
        return SelectionSaved(str(self._work.save(message.view, message.selection)))

    def _verify(self, message: SelectPane.Chosen) -> Message:
        return RunStarted(self._work.start_verify(message.view, message.selection), "select")

    def _bench(self, message: SelectPane.Chosen) -> Message:
        return RunStarted(self._work.start_bench(message.view, message.selection), "bench")
