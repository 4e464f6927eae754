"""A verification and the whole curve as lines of the Select tab."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pixart_tui.domain.selecting.pareto import Curve, CurvePoint
from pixart_tui.domain.selecting.verification import Verification
from pixart_tui.tui import glyphs, wording
from pixart_tui.tui.board import VerifyView
from pixart_tui.tui.lines import Line, Span, fit, fit_right, line

_NAME: Final = 13
_SHARE: Final = 8
_LAYERS: Final = 8
_LOSS: Final = 11
_FIXED: Final = _NAME + _SHARE + _LAYERS + _LOSS + 3


def verify_lines(view: VerifyView | None, output: str, width: int) -> Iterator[Line]:
    """How the verification of a profile's selection stands; nothing where there is none."""
    if view is None or view.output != output:
        return
    run, found = view.run, view.verification
    if found is not None:
        yield line(Span(fit(f" {_verified(found)}", width), "good" if found.holds else "title"))
        return
    amount = f"{run.done} of {run.total}  " if run.total else ""
    told = f" verifying  {run.state}  {amount}{run.stage} {run.stage_detail}"
    yield line(Span(fit(told, width), "live"))


def _verified(found: Verification) -> str:
    loss = found.verified
    interval = f"{wording.loss(loss.low)} - {wording.loss(loss.high)}"
    text = f"verified loss {wording.loss(loss.loss)}  ({interval}, {loss.images} other images)"
    if found.holds is None:
        return text
    return f"{text}  budget {found.budget:g} {'holds' if found.holds else 'does not hold'}"


def curve_lines(curve: Curve, width: int) -> list[Line]:
    """The curve as bars, the seed's rule beside it."""
    points = [("selected", point) for point in curve.ours]
    points += [("seed's rule", point) for point in curve.seed_rule]
    most = max((point.predicted for _, point in points), default=0.0) or 1.0
    what = "linear FLOPs" if curve.axis == "flops" else "the time that can be saved"
    head = f" loss over share of {what}, predicted; p shows the layers again"
    lines = [line(Span(fit(head, width), "head"))]
    ordered = sorted(points, key=lambda row: (row[1].share, row[0]))
    return [*lines, *(_point_line(name, point, most, width) for name, point in ordered)]


def _point_line(name: str, point: CurvePoint, most: float, width: int) -> Line:
    ours = name == "selected"
    bar = glyphs.BLOCK * round(max(width - _FIXED, 1) * point.predicted / most)
    text = (
        fit(f" {name}", _NAME)
        + fit_right(wording.share(point.share), _SHARE)
        + fit_right(str(point.layers), _LAYERS)
        + fit_right(wording.loss(point.predicted), _LOSS)
    )
    return line(
        Span(text, "text" if ours else "muted"), Span(f"  {bar}", "live" if ours else "muted")
    )
