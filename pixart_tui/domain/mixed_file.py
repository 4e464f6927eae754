"""The file of a selection that holds several quant types: what OneDiff's JSON cannot say."""

from __future__ import annotations

from collections.abc import Mapping

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.values import Value


class MixedLayer(Value):
    """One layer of a mixed selection.

    Attributes:
        quant_type: What it is quantized to.
        ssim: Its SSIM alone, at most 1.
    """

    quant_type: str
    ssim: float


class MixedSelection(Value):
    """``<name>.selected.json`` where the layers have several quant types.

    Attributes:
        format: What tells it from a OneDiff file.
        layers: Layer to its quant type, least sensitive first.
    """

    format: str = "pixart-tui mixed selection 1"
    layers: Mapping[str, MixedLayer]


def render(assignments: Mapping[str, str], ssim_by_fqn: Mapping[str, float]) -> str:
    """The file's text."""
    layers = {
        fqn: MixedLayer(quant_type=quant_type, ssim=min(ssim_by_fqn[fqn], 1.0))
        for fqn, quant_type in assignments.items()
    }
    return MixedSelection(layers=layers).model_dump_json(indent=1) + "\n"


def refuse_for_onediff(assignments: Mapping[str, str]) -> None:
    """Refuses to write several quant types as a OneDiff file.

    Raises:
        RequestError: There are several.
    """
    quant_types = sorted(set(assignments.values()))
    if len(quant_types) > 1:
        raise RequestError(
            "OneDiff's JSON holds layers of one quant type",
            f"the selection has {', '.join(quant_types)}",
            "give one PROFILE, or leave --format out to write pixart-tui's own JSON",
        )
