"""The layers that OneDiff chooses of a file: a share of all, the best first."""

from __future__ import annotations

from collections.abc import Mapping


def chosen_layers(ssim_by_fqn: Mapping[str, float], top_percentage: float) -> tuple[str, ...]:
    """The layers that ``onediffx.quantize_pipe`` quantizes, in its order."""
    ordered = sorted(ssim_by_fqn.items(), key=lambda item: item[1], reverse=True)
    count = int(len(ordered) * (top_percentage / 100))
    return tuple(fqn for fqn, _ in ordered[:count])
