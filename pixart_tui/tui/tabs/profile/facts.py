"""Facts that place a layer among the others, computed once for all lines of a screen."""

from __future__ import annotations

from dataclasses import dataclass

from pixart_tui.domain.profiles.score import LayerScore, ranked
from pixart_tui.reporting.score_text import is_imaged, rank_text
from pixart_tui.tui.drawing import glyphs
from pixart_tui.tui.state.overview import ProfileView
from pixart_tui.tui.tabs.profile.heat import Scale, measuring_now
from pixart_tui.tui.tabs.profile.whiskers import Axis


@dataclass(frozen=True, slots=True)
class Facts:
    """A profile, and what is known of all its layers together.

    Attributes:
        view: The profile.
        by_fqn: Layer to its score.
        places: Layer to its place among the measured ones, 1 for the most sensitive.
        total_flops: Of all linear layers.
        axis: The axis of the whiskers.
        scale: The levels of the map.
        now: The layer that is being measured.
        timed: Whether any layer was timed.
        imaged: Whether images were made with layers quantized alone.
    """

    view: ProfileView
    by_fqn: dict[str, LayerScore]
    places: dict[str, int]
    total_flops: int
    axis: Axis
    scale: Scale
    now: str | None
    timed: bool
    imaged: bool

    @classmethod
    def of(cls, view: ProfileView) -> Facts:
        """Returns what is known of a profile so far."""
        order = ranked(view.scores)
        marked = ((view.noise, glyphs.NOISE), (view.floor, glyphs.FLOOR))
        return cls(
            view=view,
            by_fqn={score.layer.fqn: score for score in view.scores},
            places={score.layer.fqn: place for place, score in enumerate(order, start=1)},
            total_flops=sum(score.layer.flops for score in view.scores),
            axis=Axis.over(order, [(loss, mark) for loss, mark in marked if loss]),
            scale=Scale.of(view),
            now=measuring_now(view),
            timed=any(score.latency_s is not None for score in view.scores),
            imaged=any(is_imaged(score) for score in order),
        )

    def share(self, score: LayerScore) -> float:
        """A layer's part of all linear FLOPs."""
        return score.layer.flops / self.total_flops if self.total_flops else 0.0

    def rank(self, score: LayerScore) -> str:
        """``3``, ``2=``, ``3?``, or nothing where there is no figure."""
        place = self.places.get(score.layer.fqn)
        return rank_text(place, score) if place is not None else ""
