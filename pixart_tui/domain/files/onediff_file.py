"""The onediffx JSON: ``{fqn: {"ssim": number}}``, exactly as ``onediffx.quantize_pipe`` reads it.

onediffx sorts the (fqn, ssim) pairs by ssim, descending and stable, and keeps the first
``int(n * (top_percentage / 100))``. Every top-level value must therefore be a layer; provenance
stands in a sidecar (``onediffx`` 1.2.0, ``compilers/diffusion_pipeline_compiler.py``).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import attention_file
from pixart_tui.domain.values import parse_json

EFFECTS_ENDING: Final = ".effects.safetensors"


def render(ssim_by_fqn: Mapping[str, float]) -> str:
    """The file's text: best layers first, SSIM at most 1, equal SSIM in the given order."""
    capped = {fqn: min(ssim, 1.0) for fqn, ssim in ssim_by_fqn.items()}
    ordered = sorted(capped.items(), key=lambda item: item[1], reverse=True)
    return json.dumps({fqn: {"ssim": ssim} for fqn, ssim in ordered}, indent=2) + "\n"


def parse(text: str, source: str) -> dict[str, float]:
    """Layer to SSIM, in file order.

    Args:
        text: The file's text.
        source: The file's name, for errors.

    Raises:
        RequestError: Not JSON, not an object, a value without a numeric ``ssim``, or a profile of
            attention.
    """
    try:
        content = parse_json(text)
    except json.JSONDecodeError as error:
        raise _malformed(source, f"line {error.lineno}: {error.msg}") from error
    except ValueError as error:
        cause = "it is nested too deeply or holds too large a number"
        raise _malformed(source, cause) from error
    if isinstance(content, dict) and content.get("format") == attention_file.FORMAT:
        raise attention_file.refusal(source)
    if not isinstance(content, dict) or not content:
        raise _malformed(source, "the top level is not an object of layers")
    return {fqn: _ssim_of(fqn, value, source) for fqn, value in content.items()}


def sidecar_path(path: PurePath) -> PurePath:
    """``fp8_e4m3.json`` -> ``fp8_e4m3.meta.json``."""
    return path.with_name(f"{path.name.removesuffix('.json')}.meta.json")


def companions(path: PurePath) -> tuple[PurePath, ...]:
    """Lists the files beside a profile's JSON: the sidecar, and the adjoint method's effects."""
    return sidecar_path(path), path.with_name(path.name.removesuffix(".json") + EFFECTS_ENDING)


def with_companions(paths: Iterable[PurePath]) -> tuple[PurePath, ...]:
    """Profiles' JSON files and all that stands beside them."""
    return tuple(each for path in paths for each in (path, *companions(path)))


def selected_path(path: PurePath) -> PurePath:
    """``fp8_e4m3.json`` -> ``fp8_e4m3.selected.json``."""
    return path.with_name(f"{path.name.removesuffix('.json')}.selected.json")


def _ssim_of(fqn: str, value: object, source: str) -> float:
    ssim = value.get("ssim") if isinstance(value, dict) else None
    if isinstance(ssim, bool) or not isinstance(ssim, int | float):
        raise _malformed(source, f'"{fqn}" has no numeric "ssim"')
    # An integer stays one: as a float it might tie with another, and onediffx compares integers.
    return ssim


def _malformed(source: str, cause: str) -> RequestError:
    return RequestError(
        f"{source} is not a layer file that onediffx can read",
        cause=cause,
        next_step='it must be a JSON object {"layer name": {"ssim": number}, ...}; '
        "write one with: pixart-tui profile --output FILE",
    )
