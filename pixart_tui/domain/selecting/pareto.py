"""The whole range of a menu: what each share costs, beside the seed's rule."""

from __future__ import annotations

from typing import Final

from pixart_tui.domain.errors import PixartTuiError
from pixart_tui.domain.selecting.menu import Menu
from pixart_tui.domain.selecting.repair import seed_rule_at_share
from pixart_tui.domain.selecting.selection import (
    Objective,
    Rule,
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
        seed_rule: The seed's rule, by SSIM until the share is reached; empty for several types.
    """

    axis: Objective
    quant_types: tuple[str, ...]
    ours: tuple[CurvePoint, ...]
    seed_rule: tuple[CurvePoint, ...] = ()


def pareto_curve(menu: Menu, *, fused: bool = False) -> Curve:
    """The predicted curve; shares that the options do not reach are left out."""
    menu = menu if menu.timed else menu.of_layers
    by_time = menu.timed and any(option.pays for option in menu.options)
    rule: Rule = "saved-share" if by_time else "flops-share"
    ours = [_point(menu, rule, share, fused) for share in SHARES]
    seeds = _seed_points(menu) if not by_time and len(menu.layer_types) == 1 else []
    return Curve(
        axis="time" if by_time else "flops",
        quant_types=menu.quant_types,
        ours=tuple(point for point in ours if point is not None),
        seed_rule=tuple(seeds),
    )


def _point(menu: Menu, rule: Rule, share: float, fused: bool) -> CurvePoint | None:
    try:
        found = choose(menu, rule, share, fused=fused)
    except PixartTuiError:
        return None
    reached = found.flops_share if rule == "flops-share" else share
    return CurvePoint(share=reached, layers=len(found.chosen), predicted=found.predicted_loss)


def _seed_points(menu: Menu) -> list[CurvePoint]:
    points = []
    for share in SHARES:
        options = seed_rule_at_share(menu, share)
        found = describe(menu, "flops-share", share, options)
        points.append(
            CurvePoint(
                share=found.flops_share,
                layers=len(found.chosen),
                predicted=found.predicted_loss,
            )
        )
    return points
