"""Computes the curve of a profile's selections: loss over share, ours and OneDiff's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.domain.selecting.candidates import Candidates, candidates_of_scores
from pixart_tui.domain.selecting.pareto import pareto_curve
from pixart_tui.domain.selecting.selection import Objective, Selection, choose
from pixart_tui.tui.state.overview import ProfileView, VerifyView

_PERCENTAGES: Final = (10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 95, 100)


class Point(NamedTuple):
    """A selection on the axes.

    Attributes:
        share: Of the linear FLOPs, or of the time that can be saved at most; 0 to 1.
        loss: 1 - SSIM.
    """

    share: float
    loss: float


@dataclass(frozen=True, slots=True)
class Plot:
    """Both curves of a profile.

    Attributes:
        axis: What the shares are of.
        ours: The least loss for a share, predicted.
        onediff_rule: OneDiff's top percentage, predicted.
        gains: Layer and quant type to what that adds to the share.
    """

    axis: Objective
    ours: tuple[Point, ...]
    onediff_rule: tuple[Point, ...]
    gains: dict[tuple[str, str], float]

    def share(self, assignments: Mapping[str, str]) -> float:
        """Where a selection stands on the axis.

        Args:
            assignments: Layer to quant type.
        """
        return max(0.0, min(sum(self.gains.get(x, 0.0) for x in assignments.items()), 1.0))

    def share_of(self, selection: Selection) -> float:
        """Where a selection stands on the axis: keeping steps takes of its share."""
        share = self.share(selection.assignments)
        if not selection.kept_steps:
            return share
        if self.axis == "flops":
            return selection.flops_share
        saved_s, every_s = selection.predicted_time_saved_s, selection.saved_at_every_step_s
        return share * (saved_s or 0.0) / every_s if every_s else share


def plot_of(view: ProfileView) -> Plot:
    """The plot of what is measured so far; takes a second for a large model."""
    candidates = candidates_of_scores(view.scores_by_type)
    curve = pareto_curve(candidates)
    plot = Plot(
        axis=curve.axis,
        ours=tuple(Point(point.share, point.predicted) for point in curve.ours),
        onediff_rule=(),
        gains=_gains(candidates, curve.axis),
    )
    return Plot(plot.axis, plot.ours, _onediff_rule(candidates, plot), plot.gains)


def _gains(candidates: Candidates, axis: Objective) -> dict[tuple[str, str], float]:
    if axis == "flops":
        flops = {
            target.name: target.flops / (candidates.flops or 1) for target in candidates.targets
        }
        return {option.key: flops[option.target] for option in candidates.options}
    most: dict[str, float] = {}
    for option in candidates.options:
        if option.speeds_up:
            most[option.target] = max(most.get(option.target, 0.0), option.saved_s or 0.0)
    whole = sum(most.values())
    return {option.key: (option.saved_s or 0.0) / whole for option in candidates.options}


def _onediff_rule(candidates: Candidates, plot: Plot) -> tuple[Point, ...]:
    """Selections by count and SSIM; with time on the axis some cost more than they save."""
    points = []
    for percentage in _PERCENTAGES:
        try:
            found = choose(candidates, "top-percentage", percentage)
        except PixartTuiError:
            return ()
        points.append(Point(plot.share(found.assignments), found.predicted_loss))
    return tuple(points)


@dataclass(frozen=True, slots=True)
class Marked:
    """The points that stand out.

    Attributes:
        chosen: What the rule_setting selects, predicted.
        verified: What was measured as a whole.
        low: Lower end of the 95% interval of the verified loss.
        high: Its upper end.
        onediff_verified: OneDiff's rule at the same share, measured on the same images.
    """

    chosen: Point | None = None
    verified: Point | None = None
    low: float = 0.0
    high: float = 0.0
    onediff_verified: Point | None = None


def marked_of(plot: Plot, selection: Selection | None, verify: VerifyView | None) -> Marked:
    """The points that stand out on a plot."""
    chosen = None
    if selection is not None:
        chosen = Point(plot.share_of(selection), selection.predicted_loss)
    found = verify.verification if verify else None
    if verify is None or found is None or verify.selection is None:
        return Marked(chosen)
    trial = found.onediff_rule
    seed = None
    if trial is not None and trial.measured is not None:
        seed = Point(plot.share(trial.assignments), trial.measured.loss)
    return Marked(
        chosen=chosen,
        verified=Point(plot.share_of(verify.selection), found.verified.loss),
        low=found.verified.low,
        high=found.verified.high,
        onediff_verified=seed,
    )
