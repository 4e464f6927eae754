"""Views of profiles for the tests of what is drawn; nothing measured them."""

from __future__ import annotations

from collections.abc import Sequence

from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.profiles.score import LayerScore
from pixart_tui.tui.state.overview import Figures, ProfileView, RunView
from pixart_tui.tui.state.watch import figures_of
from tests.samples import conditions


def view_of(*profiles: Profile, run: RunView, floor: float | None = None) -> ProfileView:
    """The view of profiles of one run."""
    return ProfileView(run, tuple(map(figures_of, profiles)), floor=floor)


def view_of_scores(
    scores: Sequence[LayerScore],
    *,
    run: RunView,
    floor: float | None = None,
    noise: float | None = None,
) -> ProfileView:
    """A view of scores, whatever they were made of."""
    layers = tuple(score.layer for score in scores)
    profile = Profile(conditions=conditions(), layers=layers, excluded={}, measurements=())
    return ProfileView(run, (Figures(profile, tuple(scores), noise),), floor=floor)
