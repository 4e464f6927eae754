"""The predicted curve as an inline SVG that takes its colors from the page."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Final

from pixart_tui.domain.selecting.pareto import Curve, CurvePoint

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640, 330, 62, 16, 34, 52
_AXES: Final = {"flops": "linear FLOPs quantized", "time": "time that can be saved, saved"}


def curve_svg(curve: Curve) -> str:
    """1 - SSIM over share, logarithmic; ours are discs, OneDiff's rule squares and dashes."""
    losses = [p.predicted for p in (*curve.ours, *curve.onediff_rule) if p.predicted > 0]
    if not losses:
        return ""
    low, high = math.floor(math.log10(min(losses))), math.ceil(math.log10(max(losses)))
    scale = _Scale(low, max(high, low + 1))
    what = _AXES.get(curve.axis, curve.axis)
    return "\n".join(
        [
            f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label="Predicted 1-SSIM over the share of {what}">',
            *_frame(scale, what),
            *_series(scale, curve.onediff_rule, "onediff"),
            *_series(scale, curve.ours, "ours"),
            *_legend(bool(curve.onediff_rule)),
            "</svg>",
        ]
    )


class _Scale:
    def __init__(self, low: int, high: int) -> None:
        self.low, self.high = low, high

    def x(self, share: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share

    def y(self, loss: float) -> float:
        place = (math.log10(loss) - self.low) / (self.high - self.low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * place


def _frame(scale: _Scale, what: str) -> Iterator[str]:
    for exponent in range(scale.low, scale.high + 1):
        y = scale.y(10.0**exponent)
        yield f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text x="{_LEFT - 8}" y="{y + 5:.1f}" text-anchor="end">1e{exponent}</text>'
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        x = scale.x(share)
        anchor = "end" if share == 1 else "middle"
        yield (
            f'<text x="{x:.1f}" y="{_HEIGHT - _BOTTOM + 24}" text-anchor="{anchor}">'
            f"{share:.0%}</text>"
        )
    middle = (_LEFT + _WIDTH - _RIGHT) / 2
    yield f'<text x="{middle}" y="{_HEIGHT - 4}" text-anchor="middle">share of {what}</text>'


def _series(scale: _Scale, points: Sequence[CurvePoint], name: str) -> Iterator[str]:
    shown = [(scale.x(p.share), scale.y(p.predicted), p) for p in points if p.predicted > 0]
    if not shown:
        return
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in shown)
    yield f'<polyline class="{name}" points="{path}"/>'
    for x, y, point in shown:
        title = f"{point.share:.1%}, {point.layers} layers: {point.predicted:.2e}"
        yield f'<g class="{name}"><title>{title}</title>{_mark(name, x, y)}</g>'


def _mark(name: str, x: float, y: float) -> str:
    if name == "onediff":
        return f'<rect x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8"/>'
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5"/>'


def _legend(onediff: bool) -> Iterator[str]:
    entries = [("ours", "selected"), *([("onediff", "OneDiff's rule, by SSIM")] if onediff else [])]
    for index, (name, words) in enumerate(entries):
        x = _LEFT + 8 + 110 * index
        yield f'<g class="{name}">{_mark(name, x, 14)}</g><text x="{x + 12}" y="19">{words}</text>'
