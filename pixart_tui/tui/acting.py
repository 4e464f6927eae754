"""What the dashboard's keys do to runs: threads do the work, handlers tell how it went."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, Final

from textual.app import App
from textual.binding import Binding, BindingType
from textual.message import Message

from pixart_tui.domain.errors import PixartTuiError, WorkError
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.runs.run import RunState
from pixart_tui.tui.board import RunView
from pixart_tui.tui.dialogs.confirm import ConfirmScreen
from pixart_tui.tui.messages import RunStarted, SelectionSaved, WorkDone, WorkFailed
from pixart_tui.tui.profile_tab.pane import ProfilePane
from pixart_tui.tui.requests import compare_request, default_profile_request
from pixart_tui.tui.select_tab.pane import SelectPane
from pixart_tui.tui.states import RESUMABLE
from pixart_tui.tui.work import Work

_ERROR_SHOWN_S: Final = 12.0


class ActingApp(App[None]):
    """An app whose keys start, resume and cancel runs, and save selections."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("n", "new_profile", "New profile"),
        Binding("r", "resume_run", "Resume"),
        Binding("c", "cancel_run", "Cancel"),
    ]

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work = work
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
        if action not in ("new_profile", "resume_run", "cancel_run"):
            return super().check_action(action, parameters)
        return len(self.screen_stack) == 1 and self._makes_sense(action)

    def _makes_sense(self, action: str) -> bool:
        if action == "new_profile":
            return self.tab in ("runs", "profile")
        run = self.run_shown
        if action == "resume_run":
            return run is not None and run.state in RESUMABLE
        return run is not None and run.state in (RunState.QUEUED, RunState.RUNNING)

    def offer_actions(self) -> None:
        """Tells the footer if other actions make sense by now."""
        names = ("new_profile", "resume_run", "cancel_run")
        offer = tuple(self._makes_sense(name) for name in names)
        if offer != self._offer:
            self._offer = offer
            self.refresh_bindings()

    async def action_new_profile(self) -> None:
        """Asks, then profiles the embedded model."""
        request = await asyncio.to_thread(default_profile_request, Path.cwd())
        text = [
            f"quant type  {request.quant_type}",
            f"device      {request.device}",
            f"writes      {request.output}",
        ]
        if Path(request.output).exists():
            text.append("            and replaces the file that is there")
        self._ask(
            f"Profile {request.model}?", text, "start", "not now", lambda: self._start(request)
        )

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

    async def action_select(self, name: str) -> None:
        """Does one of the Select tab's actions from the command palette."""
        self.show_tab("select")
        await self.run_action(name, self.query_one(SelectPane))

    def on_select_pane_chosen(self, message: SelectPane.Chosen) -> None:
        """Saves a selection, or does more with it if that was asked for."""
        acts = {"save": self._save, "bench": self._bench, "verify": self._verify}
        self._do(lambda: acts[message.purpose](message))

    def on_profile_pane_pictures_wanted(self, message: ProfilePane.PicturesWanted) -> None:
        """Asks, then makes the pictures of a layer in a run of their own."""
        asked = message.view.run.request
        if not isinstance(asked, ProfileRequest):
            return
        request = compare_request(asked, message.fqn)
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
        self.notify(message.note)

    def on_selection_saved(self, message: SelectionSaved) -> None:
        """Says where the selection stands."""
        self.query_one(SelectPane).tell(f"saved {message.path}")

    def on_work_failed(self, message: WorkFailed) -> None:
        """Says what could not be done, why, and what to do."""
        error = message.error
        details = "\n".join(filter(None, (error.cause, error.next_step))) or error.title
        self.notify(
            details, title=error.title, severity="error", timeout=_ERROR_SHOWN_S, markup=False
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
            message = WorkFailed(WorkError(f"{name} cannot be used", error.strerror or str(error)))
        self.post_message(message)

    def _start(self, request: ProfileRequest) -> Message:
        return RunStarted(self._work.start_profile(request), "profile")

    def _resume(self, run_id: str) -> Message:
        self._work.resume(run_id)
        return WorkDone(f"run {run_id} goes on")

    def _cancel(self, run_id: str) -> Message:
        self._work.cancel(run_id)
        return WorkDone(f"run {run_id} has stopped")

    def _save(self, message: SelectPane.Chosen) -> Message:
        return SelectionSaved(str(self._work.save(message.view, message.selection)))

    def _verify(self, message: SelectPane.Chosen) -> Message:
        return RunStarted(self._work.start_verify(message.view, message.selection), "select")

    def _bench(self, message: SelectPane.Chosen) -> Message:
        return RunStarted(self._work.start_bench(message.view, message.selection), "bench")
