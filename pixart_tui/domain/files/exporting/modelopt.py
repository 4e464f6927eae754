"""A selection as the ``quant_cfg`` of NVIDIA ModelOpt: one entry a quantizer, by its whole name.

ModelOpt (0.47) matches ``quantizer_name`` with fnmatch against the names below the module that is
quantized, in order, later entries winning; a layer's quantizers are ``<fqn>.weight_quantizer`` and
``<fqn>.input_quantizer``. Its quantization is close to ours but has its own rounding: int8 spans
[-127, 127] there.
"""

from __future__ import annotations

import json
from pprint import pformat
from typing import Any, Final

from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat, parse_quant_type
from pixart_tui.domain.selecting.selection import Selection

_Attributes = dict[str, Any]


def quant_config(selection: Selection) -> dict[str, Any]:
    """Builds the configuration of ``modelopt.torch.quantization.quantize``."""
    entries: list[dict[str, Any]] = [{"quantizer_name": "*", "enable": False}]
    for fqn, name in selection.assignments.items():
        weight, activation = _attributes(name)
        entries.append({"quantizer_name": f"{fqn}.weight_quantizer", "cfg": weight})
        if activation is not None:
            entries.append({"quantizer_name": f"{fqn}.input_quantizer", "cfg": activation})
    return {"quant_cfg": entries, "algorithm": "max"}


def render_python(selection: Selection) -> str:
    """A module that defines ``QUANT_CONFIG``; Python, because JSON has no integer keys."""
    config = pformat(quant_config(selection), sort_dicts=False, width=100)
    return f'"""ModelOpt configuration, written by pixart-tui."""\n\nQUANT_CONFIG = {config}\n'


def render_json(selection: Selection) -> str:
    """The same as JSON; :func:`needs_python` tells whether it can say it."""
    return json.dumps(quant_config(selection), indent=1) + "\n"


def needs_python(selection: Selection) -> bool:
    """Whether there is a key that is a number: the block sizes of scales per token."""
    kinds = (parse_quant_type(name) for name in selection.assignments.values())
    return any(x.activation and x.granularity is Granularity.PER_AXIS for x in kinds)


def _attributes(name: str) -> tuple[_Attributes, _Attributes | None]:
    quant_type = parse_quant_type(name)
    per_axis = quant_type.granularity is Granularity.PER_AXIS
    weight = {"num_bits": _BITS[quant_type.weight], "axis": 0 if per_axis else None}
    if quant_type.activation is None:
        return weight, None
    activation: _Attributes = {"num_bits": _BITS[quant_type.activation], "type": "dynamic"}
    return weight, activation | ({"block_sizes": {-1: None}} if per_axis else {"axis": None})


_BITS: Final[dict[NumberFormat, int | tuple[int, int]]] = {
    NumberFormat.INT8: 8,
    NumberFormat.E4M3: (4, 3),
}
