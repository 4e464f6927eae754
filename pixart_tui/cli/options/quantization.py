"""The options that say what is quantized, for ``bench`` and ``generate``."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from pixart_tui.cli.options.common import check_quant_type
from pixart_tui.domain.deploying.deployment import Compiler
from pixart_tui.domain.errors import RequestError, blaming
from pixart_tui.domain.files import layer_file
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE, DEFAULT_TOP_PERCENTAGE
from pixart_tui.domain.suggestions import closest
from pixart_tui.domain.values import parse_json

_KEYS = ("quant_type", "top_percentage")


def quantization_fields(
    config: str,
    layers: Path | None,
    compilers: Collection[Compiler],
    kept_steps: KeptSteps = NO_STEPS,
) -> dict[str, Any]:
    """The fields of a request that ``--quantize-config`` and the layers' file fill.

    Args:
        config: The JSON of ``--quantize-config``.
        layers: The file of ``--quant-submodules-config-path``.
        compilers: What is to deploy it.
        kept_steps: What the options of kept steps ask for.

    Raises:
        RequestError: The JSON is not what is wanted, the file is neither OneDiff's nor a mixed
            selection, or it is the latter and another option contradicts it.
    """
    parsed = _parse_config(config)
    _refuse_unknown(parsed)
    fields: dict[str, Any] = {
        "quant_type": check_quant_type(str(parsed.get("quant_type", DEFAULT_QUANT_TYPE))),
        "top_percentage": _percentage(parsed.get("top_percentage", DEFAULT_TOP_PERCENTAGE)),
    }
    if layers is None:
        return fields
    fields["quant_submodules_config_path"] = str(layers.absolute())
    with blaming("--quant-submodules-config-path"):
        file = layer_file.read(layers)
        if file.mixed is None:
            return fields
        file.refuse_compilers(compilers)
        file.refuse_options([*_contradictions(parsed), *kept_steps.options])
    return fields | {"quant_type": file.mixed.quant_type, "top_percentage": 100.0}


def _contradictions(parsed: dict[str, Any]) -> Iterator[str]:
    """Yields the parts of ``--quantize-config`` that a mixed selection says itself."""
    if "quant_type" in parsed:
        yield '"quant_type"'
    if parsed.get("top_percentage", 100) != 100:
        yield '"top_percentage"'


def _parse_config(config: str) -> dict[str, Any]:
    try:
        parsed = parse_json(config)
    except json.JSONDecodeError as error:
        cause = f"column {error.colno}: {error.msg}"
    except ValueError:
        cause = "it is nested too deeply or holds too large a number"
    else:
        if isinstance(parsed, dict):
            return parsed
        cause = "it is not an object"
    example = """--quantize-config '{"quant_type": "fp8_e4m3_e4m3_dynamic"}'"""
    raise RequestError(
        "--quantize-config is not a JSON object", cause=cause, next_step=f"for example: {example}"
    )


def _refuse_unknown(parsed: dict[str, Any]) -> None:
    unknown = next((key for key in parsed if key not in _KEYS), None)
    if unknown is not None:
        raise RequestError(
            f'--quantize-config has an unknown key "{unknown[:60]}"',
            cause=f"known: {', '.join(_KEYS)}",
            next_step=f'write "{closest(unknown, _KEYS)}", or leave it out',
        )


def _percentage(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise RequestError(
            f'"top_percentage": {json.dumps(value)} is out of range',
            cause="it is the percentage of layers, by count",
            next_step="give a number from 0 to 100",
        )
    return float(value)
