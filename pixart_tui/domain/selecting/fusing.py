"""Which choices the fused kernels can run: rows that several layers read are quantized once."""

from __future__ import annotations

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat, parse_quant_type
from pixart_tui.domain.layers.roles import fused_group, reads_text


def refuse_unfusable(choice: Choice) -> None:
    """Refuses what the fused kernels cannot run.

    Types that leave the activation alone go with any other, and so do types that differ in the
    weight's format only.

    Raises:
        RequestError: Layers that read the same rows want those in several ways.
    """
    seen: dict[str, tuple[NumberFormat, Granularity, str, str]] = {}
    for fqn, name in choice.assignments.items():
        group = "text" if reads_text(fqn) else fused_group(fqn)
        kind = parse_quant_type(name)
        if group is None or kind.activation is None:
            continue
        activation, granularity, other, other_name = seen.setdefault(
            group, (kind.activation, kind.granularity, fqn, name)
        )
        if (activation, granularity) != (kind.activation, kind.granularity):
            raise RequestError(
                "the fused kernels cannot run this mixed selection",
                cause=f"{other} is {other_name} and {fqn} {name}: they read the same rows, "
                "which are "
                "quantized once",
                next_step="choose again with: pixart-tui select --fused; or use another --compiler",
            )
