"""The curve of ``selection_quality`` as an SVG.

python -m benchmarks.selection_plot [RESULT.json] [PLOT.svg]
"""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any, Final

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM, _RIGHT = 640, 410, 80, 30, 50, 150
_SERIES: Final = {
    "onediff_rule": ("OneDiff's rule", "#8a8a8a"),
    "layers": ("layers", "#d9822b"),
    "layers_and_steps": ("layers and steps", "#1f77b4"),
}


def plot(result: dict[str, Any]) -> str:
    """Verified 1 - SSIM over share of FLOPs, on a logarithmic scale, with 95% intervals."""
    rows = result["by_flops"]
    losses = [row[name]["verified"] for row in rows for name in _SERIES]
    low = math.floor(math.log10(min(found["low"] for found in losses)))
    high = math.ceil(math.log10(max(found["high"] for found in losses)))

    def x(share: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * share

    def y(loss: float) -> float:
        place = (math.log10(loss) - low) / (high - low)
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * place

    parts = [_frame(low, high, x, y)]
    for index, (name, (label, color)) in enumerate(_SERIES.items()):
        points = [(row[name]["flops_share"], row[name]["verified"]) for row in rows]
        path = " ".join(f"{x(share):.1f},{y(found['loss']):.1f}" for share, found in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts += [
            f'<line x1="{x(s):.1f}" x2="{x(s):.1f}" y1="{y(f["low"]):.1f}" y2="{y(f["high"]):.1f}" '
            f'stroke="{color}"/>'
            f'<circle cx="{x(s):.1f}" cy="{y(f["loss"]):.1f}" r="3" fill="{color}"/>'
            for s, f in points
        ]
        parts.append(_text(_WIDTH - _RIGHT + 12, _TOP + 16 + 18 * index, label, color))
    return "\n".join([_HEAD, *parts, "</svg>"]) + "\n"


_HEAD: Final = (
    f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
    f'font-family="sans-serif" font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>'
)


def _frame(low: int, high: int, x: Any, y: Any) -> str:
    right, bottom = x(1.0), y(10.0**low)
    lines = [
        _text(x(s), bottom + 18, f"{s:.0%}", "#333", "middle") for s in (0, 0.25, 0.5, 0.75, 1)
    ]
    for power in range(low, high + 1):
        place = y(10.0**power)
        lines.append(f'<line x1="{_LEFT}" x2="{right}" y1="{place}" y2="{place}" stroke="#ddd"/>')
        lines.append(_text(_LEFT - 8, place + 4, f"1e{power}", "#333", "end"))
    middle = (_LEFT + right) / 2
    lines.append(_text(middle, _HEIGHT - 12, "share of linear FLOPs in fp8", "#333", "middle"))
    lines.append(_text(_LEFT, _TOP - 14, "1 - SSIM on held-out images", "#333"))
    return "\n".join(lines)


def _text(x: float, y: float, text: str, color: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{color}" text-anchor="{anchor}">{text}</text>'


def main() -> None:
    """Reads a result and writes its plot."""
    given = [
        *sys.argv[1:],
        *("benchmarks/results/selection/selection-quality.json", "docs/pareto.svg"),
    ]
    source, target = (given[0], given[1]) if len(sys.argv) != 2 else (given[0], given[2])
    Path(target).write_text(plot(json.loads(Path(source).read_text())))
    print(f"wrote {target}")


if __name__ == "__main__":
    main()
