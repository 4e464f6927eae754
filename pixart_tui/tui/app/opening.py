"""Finds the tab that shows a run, and the profile that a verification is about."""

from __future__ import annotations

from pixart_tui.tui.state.overview import Overview, RunView
from pixart_tui.tui.state.requests import verifies


def tab_of(run: RunView) -> str:
    """The tab of a run's kind."""
    # The runs' own tab says all that there is about images and checkpoints.
    own = {"bench": "bench", "verify": "select", "compare": "compare"}
    own |= {"generate": "runs", "export": "runs"}
    return own.get(run.kind, "profile")


def profile_of(run: RunView, overview: Overview) -> RunView | None:
    """The profile that a run verifies the selection of."""
    return next((of for of in overview.runs if verifies(run.request, of.request)), None)


def lacks_its_profile(run: RunView, overview: Overview) -> bool:
    """Whether a run is a verification whose profile is not known."""
    return tab_of(run) == "select" and profile_of(run, overview) is None
