"""The options that say what is quantized, for ``bench`` and ``generate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pixart_tui.cli.options import check_quant_type
from pixart_tui.domain import onediff_file
from pixart_tui.domain.errors import RequestError, blaming
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE, DEFAULT_TOP_PERCENTAGE
from pixart_tui.domain.suggestions import closest

_KEYS = ("quant_type", "top_percentage")


def quantization_fields(config: str, layers: Path | None) -> dict[str, Any]:
    """The fields of a request that ``--quantize-config`` and the layers' file fill.

    Raises:
        RequestError: The JSON is not what is wanted, or the file is not one of onediffx.
    """
    parsed = _parse_config(config)
    _refuse_unknown(parsed)
    return {
        "quant_type": check_quant_type(str(parsed.get("quant_type", DEFAULT_QUANT_TYPE))),
        "top_percentage": _percentage(parsed.get("top_percentage", DEFAULT_TOP_PERCENTAGE)),
        "quant_submodules_config_path": _check_layers(layers),
    }


def _parse_config(config: str) -> dict[str, Any]:
    try:
        parsed = json.loads(config)
    except json.JSONDecodeError as error:
        cause = f"column {error.colno}: {error.msg}"
    except (ValueError, RecursionError):
        cause = "it is nested too deeply or holds too large a number"
    else:
        if isinstance(parsed, dict):
            return parsed
        cause = "it is not an object"
    example = """--quantize-config '{"quant_type": "fp8_e4m3_e4m3_dynamic"}'"""
    raise RequestError("--quantize-config is not a JSON object", cause, f"for example: {example}")


def _refuse_unknown(parsed: dict[str, Any]) -> None:
    unknown = next((key for key in parsed if key not in _KEYS), None)
    if unknown is not None:
        raise RequestError(
            f'--quantize-config has an unknown key "{unknown[:60]}"',
            f"known: {', '.join(_KEYS)}",
            f'write "{closest(unknown, _KEYS)}", or leave it out',
        )


def _percentage(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 100:
        raise RequestError(
            f'"top_percentage": {json.dumps(value)} is out of range',
            "it is the percentage of layers, by count",
            "give a number from 0 to 100",
        )
    return float(value)


def _check_layers(path: Path | None) -> str | None:
    if path is None:
        return None
    with blaming("--quant-submodules-config-path"):
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            cause = getattr(error, "strerror", None) or str(error)
            raise RequestError(f"{path} cannot be read", cause, "profile first") from error
        onediff_file.parse(text, str(path))
    return str(path.absolute())
