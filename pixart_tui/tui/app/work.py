"""Work on runs and files behind the dashboard's keys. It blocks: threads call it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.onediff_file import sidecar_path
from pixart_tui.domain.files.selection_files import selection_files
from pixart_tui.domain.requests import BenchRequest, CompareRequest, ProfileRequest, output_of
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.runs.catalogue import create_run, delete_run, find_run
from pixart_tui.runs.files import make_parent, write_with_companion
from pixart_tui.runs.process import control
from pixart_tui.runs.run import Run, RunState
from pixart_tui.tui.state.overview import ProfileView
from pixart_tui.tui.state.requests import bench_request, selection_path, verify_request

if TYPE_CHECKING:
    from pixart_tui.tui.tabs.new_run.checking import Ask


def _no_answer(words: Sequence[str]) -> ProfileRequest | BenchRequest:
    raise RequestError(f"there is no command line that could be asked: {' '.join(words)}")


@dataclass(frozen=True, slots=True)
class Work:
    """The actions.

    Attributes:
        start: Starts a run's worker and returns its pid.
        ask: What a command line asks for.
    """

    start: Callable[[Run], int] = control.start_worker
    ask: Ask = _no_answer

    def start_new(self, words: Sequence[str]) -> tuple[str, str]:
        """Does what a command line asks for; returns the run's id and kind."""
        request = self.ask(words)
        if request.output:
            make_parent(Path(request.output))
        run = create_run(request)
        self.start(run)
        return run.id, request.kind

    def resume(self, run_id: str) -> None:
        """Starts another worker on a run."""
        self.start(find_run(run_id))

    def cancel(self, run_id: str) -> None:
        """Stops a run's worker; returns when it has stopped."""
        control.cancel(find_run(run_id))

    def delete(self, run_id: str) -> None:
        """Deletes a run's directory; what it wrote elsewhere stays."""
        delete_run(find_run(run_id))

    def save(self, view: ProfileView, selection: Selection) -> Path:
        """Saves a selection and its sidecar beside the profile; returns where."""
        request = _finished_request(view)
        if not view.figures or not selection.chosen:
            raise RequestError(
                "no layer is chosen", next_step="move the parameter with the arrow keys"
            )
        profiles = [figures.profile for figures in view.figures]
        names = [output_of(request, quant_type).name for quant_type in view.quant_types]
        text, sidecar_text = selection_files(profiles, selection, names)
        path = selection_path(request, view.quant_types)
        write_with_companion(path, text, Path(sidecar_path(path)), sidecar_text)
        return path

    def start_bench(self, view: ProfileView, selection: Selection) -> str:
        """Saves a selection and benchmarks it; returns the run's id."""
        request = bench_request(_finished_request(view), selection, view.quant_types)
        self.save(view, selection)
        run = create_run(request)
        self.start(run)
        return run.id

    def start_compare(self, request: CompareRequest) -> str:
        """Makes pictures with and without quantized layers; returns the run's id."""
        run = create_run(request)
        self.start(run)
        return run.id

    def start_verify(self, view: ProfileView, selection: Selection) -> str:
        """Measures a selection as a whole; returns the run's id."""
        request = verify_request(_finished_request(view), selection, view.quant_types)
        run = create_run(request)
        self.start(run)
        return run.id


def _finished_request(view: ProfileView) -> ProfileRequest:
    request = view.run.request
    if not isinstance(request, ProfileRequest):
        raise RequestError("what this profile was asked for cannot be read", cause=view.run.problem)
    if view.run.state is not RunState.DONE:
        raise RequestError(
            f"this profile is {view.run.state}: a selection is saved from a finished one",
            cause=f"{view.run.done} of {view.run.total} {view.run.unit} are measured",
            next_step="r on tab 2 resumes it",
        )
    return request
