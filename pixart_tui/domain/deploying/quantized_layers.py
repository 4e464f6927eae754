"""Which of the wanted layers a quantized row quantizes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_rules import exclusion_reason
from pixart_tui.domain.layers.quant_types import parse_quant_type


@dataclass(frozen=True, slots=True)
class ChosenLayers:
    """The quantized layers, and those that could not be quantized.

    Attributes:
        choice: What is quantized.
        skipped: Layers that were wanted and that the kernels cannot run, with the reason.
    """

    choice: Choice
    skipped: Mapping[str, str]

    @property
    def note(self) -> str:
        """Describes the skipped layers, with one reason; empty for none."""
        if not self.skipped:
            return ""
        fqn, reason = next(iter(self.skipped.items()))
        return f"{len(self.skipped)} layers skipped ({fqn}: {reason})"


def choose_layers(wanted: Choice, layers: Sequence[Layer]) -> ChosenLayers:
    """Settles what is quantized.

    Args:
        wanted: What to quantize where the kernels can.
        layers: The model's layers.

    Raises:
        RequestError: No such quant type, names that the model does not have, or nothing left.
    """
    by_fqn = {layer.fqn: layer for layer in layers}
    refuse_unknown(wanted.assignments, by_fqn)
    reasons = {
        fqn: exclusion_reason(by_fqn[fqn], parse_quant_type(name))
        for fqn, name in wanted.assignments.items()
    }
    skipped = {fqn: reason for fqn, reason in reasons.items() if reason is not None}
    choice = wanted.without(skipped)
    if not choice.assignments:
        raise RequestError(
            f"no layer would be quantized to {wanted.quant_type or 'anything'}",
            cause=next(iter(skipped.values()), "the selection is empty"),
            next_step="ask for a larger share of the layers or another quant type",
        )
    return ChosenLayers(choice, skipped)


def refuse_unknown(wanted: Iterable[str], known: Collection[str]) -> None:
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
        cause=", ".join(names[:3]) + more,
        next_step="profile this model, or name the file that was measured on it",
    )
