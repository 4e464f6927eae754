"""Finds the tab that shows a run, and the profile that a verification is about."""

from __future__ import annotations

from pixart_tui.runs.run import RunState
from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.state.requests import verifies


def tab_of(run: RunView) -> str:
    """The tab of a run's kind."""
    # The runs' own tab says all that there is about images and checkpoints.
    own = {"bench": "bench", "verify": "select", "compare": "compare"}
    own |= {"generate": "runs", "export": "runs"}
    return own.get(run.kind, "profile")


def going_on(overview: Overview) -> tuple[RunView, int] | None:
    """The run to open at the start, the newest that works, and how many others go on."""
    found = [run for run in overview.runs if not run.state.is_finished]
    working = [run for run in found if run.state is RunState.RUNNING]
    return ((working or found)[0], len(found) - 1) if found else None


def profile_of(run: RunView, overview: Overview) -> RunView | None:
    """The profile that a run verifies the selection of."""
    return next((of for of in overview.runs if verifies(run.request, of.request)), None)


def lacks_its_profile(run: RunView, overview: Overview) -> bool:
    """Whether a run is a verification whose profile is not known."""
    return tab_of(run) == "select" and profile_of(run, overview) is None
