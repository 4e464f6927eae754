"""Which of the wanted layers a quantized row quantizes."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.quant_rules import exclusion_reason
from pixart_tui.domain.quant_types import parse_quant_type


@dataclass(frozen=True, slots=True)
class ChosenLayers:
    """What is quantized, and what could not be.

    Attributes:
        layers: The layers that are quantized.
        skipped: Layers that were wanted and that the kernels cannot run, with the reason.
    """

    layers: tuple[str, ...]
    skipped: Mapping[str, str]

    @property
    def note(self) -> str:
        """What was skipped, with one reason; empty for nothing."""
        if not self.skipped:
            return ""
        fqn, reason = next(iter(self.skipped.items()))
        return f"{len(self.skipped)} layers skipped ({fqn}: {reason})"


def choose_layers(
    quant_type_name: str, wanted: Sequence[str] | None, layers: Sequence[Layer]
) -> ChosenLayers:
    """Settles what is quantized.

    Args:
        quant_type_name: nexfort's name of the quant type.
        wanted: Layers to quantize; None for every layer that the kernels can run.
        layers: The model's layers.

    Raises:
        RequestError: No such quant type, names that the model does not have, or nothing left.
    """
    quant_type = parse_quant_type(quant_type_name)
    by_fqn = {layer.fqn: layer for layer in layers}
    names = tuple(by_fqn) if wanted is None else tuple(wanted)
    refuse_unknown(names, by_fqn)
    reasons = {name: exclusion_reason(by_fqn[name], quant_type) for name in names}
    skipped = {name: reason for name, reason in reasons.items() if reason is not None}
    chosen = tuple(name for name in names if name not in skipped)
    if not chosen:
        raise RequestError(
            f"no layer would be quantized to {quant_type_name}",
            next(iter(skipped.values()), "the selection is empty"),
            "ask for a larger share of the layers or another quant type",
        )
    return ChosenLayers(chosen, skipped)


def refuse_unknown(wanted: Sequence[str], known: Collection[str]) -> None:
    """Refuses a layer file that was made for another model.

    Raises:
        RequestError: It names layers that the model does not have.
    """
    names = [name for name in wanted if name not in known]
    if not names:
        return
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    raise RequestError(
        "the layer file names layers that the model does not have",
        ", ".join(names[:3]) + more,
        "profile this model, or name the file that was measured on it",
    )
