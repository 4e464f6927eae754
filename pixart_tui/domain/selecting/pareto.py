"""The whole range of the candidates: what each share costs, beside OneDiff's rule."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.domain.selecting.candidates import Candidates
from pixart_tui.domain.selecting.repair import onediff_rule_at_share
from pixart_tui.domain.selecting.rules import Rule
from pixart_tui.domain.selecting.selection import (
    Objective,
    choose,
    describe,
)
from pixart_tui.domain.selecting.verification import JointLoss
from pixart_tui.domain.values import Value

SHARES: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 1.0)


class CurvePoint(Value):
    """One selection of a curve.

    Attributes:
        share: Where it stands on the axis, 0 to 1.
        layers: How many targets are quantized.
        predicted: 1 - SSIM as predicted.
        verified: As measured, None where it was not.
    """

    share: float
    layers: int
    predicted: float
    verified: JointLoss | None = None


class Curve(Value):
    """Loss over share.

    Attributes:
        axis: What the shares are of: FLOPs, or the time that can be saved at most.
        quant_types: The quant types.
        ours: Our selections.
        onediff_rule: OneDiff's rule, by SSIM until the share is reached; empty for several types.
    """

    axis: Objective
    quant_types: tuple[str, ...]
    ours: tuple[CurvePoint, ...]
    onediff_rule: tuple[CurvePoint, ...] = ()


def pareto_curve(candidates: Candidates, *, fused: bool = False) -> Curve:
    """The predicted curve; shares that the options do not reach are left out."""
    candidates = candidates if candidates.timed else candidates.of_layers
    by_time = candidates.timed and any(option.speeds_up for option in candidates.options)
    rule: Rule = "saved-share" if by_time else "flops-share"
    ours = [_point(candidates, rule, share, fused) for share in SHARES]
    seeds = _onediff_points(candidates) if not by_time and len(candidates.layer_types) == 1 else []
    return Curve(
        axis="time" if by_time else "flops",
        quant_types=candidates.quant_types,
        ours=tuple(point for point in ours if point is not None),
        onediff_rule=tuple(seeds),
    )


def _point(candidates: Candidates, rule: Rule, share: float, fused: bool) -> CurvePoint | None:
    try:
        found = choose(candidates, rule, share, fused=fused)
    except PixartTuiError:
        return None
    reached = found.flops_share if rule == "flops-share" else share
    return CurvePoint(share=reached, layers=len(found.chosen), predicted=found.predicted_loss)


def _onediff_points(candidates: Candidates) -> list[CurvePoint]:
    points = []
    for share in SHARES:
        options = onediff_rule_at_share(candidates, share)
        found = describe(candidates, "flops-share", share, options)
        points.append(
            CurvePoint(
                share=found.flops_share,
                layers=len(found.chosen),
                predicted=found.predicted_loss,
            )
        )
    return points
