"""The formats that a selection is exported to, and what each of them cannot say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Final, Literal, get_args

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import mixed_file
from pixart_tui.domain.layers.quant_types import Granularity, NumberFormat, parse_quant_type
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.words import count

ExportFormat = Literal["onediff", "torchao", "diffusers", "modelopt"]
EXPORT_FORMATS: Final[tuple[ExportFormat, ...]] = get_args(ExportFormat)

WITH_WEIGHTS: Final[tuple[ExportFormat, ...]] = ("diffusers",)
"""The formats that hold the model's weights."""

CHECKPOINT_RECORD: Final = "pixart_tui.meta.json"
"""The file of a diffusers checkpoint that says what was exported."""

_ENDINGS: Final[dict[ExportFormat, str]] = {
    "onediff": ".selected.json",
    "torchao": ".torchao.json",
    "diffusers": ".diffusers",
    "modelopt": ".modelopt.py",
}


def default_export_path(source: PurePath, export_format: ExportFormat) -> PurePath:
    """``fp8_e4m3.json`` -> ``fp8_e4m3.torchao.json``, and so on, beside it."""
    stem = source.name.removesuffix(".json").removesuffix(".selected")
    return source.with_name(stem + _ENDINGS[export_format])


def check_expressible(selection: Selection, export_format: ExportFormat) -> None:
    """Refuses what a format cannot say.

    Raises:
        RequestError: Several quant types or kept steps where there may be none, a quant type that
            the library has no configuration for, attention, or nothing is chosen.
    """
    if not selection.chosen:
        raise RequestError(
            "the selection holds no layer",
            cause="there is nothing to export",
            next_step="choose more layers",
        )
    if export_format == "onediff":
        mixed_file.refuse_for_onediff(selection)
        return
    if selection.attention:
        raise RequestError(
            f"{export_format} quantizes linear layers",
            cause="the selection has the attention of "
            f"{count(len(selection.attention), 'block')} in fp8",
            next_step="export a selection that keeps attention in 16 bits",
        )
    if selection.kept_steps:
        raise RequestError(
            f"{export_format} quantizes a layer at every step",
            cause=f"the selection keeps {selection.kept_steps.words} steps in 16 bits",
            next_step="export a selection that keeps none",
        )
    _refuse_quant_types(selection, export_format, _OBSTACLES[export_format])


def _refuse_quant_types(
    selection: Selection, export_format: ExportFormat, obstacle: Callable[[str], str | None]
) -> None:
    for name in sorted(set(selection.assignments.values())):
        reason = obstacle(name)
        if reason is not None:
            raise RequestError(
                f"{export_format} cannot say {name}",
                cause=reason,
                next_step="select with another quant type",
            )


def _torchao_obstacle(name: str) -> str | None:
    quant_type = parse_quant_type(name)
    if quant_type.weight_only and quant_type.granularity is Granularity.PER_TENSOR:
        return "torchao has no configuration for weight-only fp8 with one scale per tensor"
    return None


def _modelopt_obstacle(name: str) -> str | None:
    quant_type = parse_quant_type(name)
    if NumberFormat.E5M2 in (quant_type.weight, quant_type.activation):
        return "ModelOpt's fp8 is e4m3 (0.47: only E=4 and M=3)"
    if quant_type.weight is NumberFormat.INT4:
        return "ModelOpt's int4 is symmetric; the measured one has a zero point for each group"
    return None


_OBSTACLES: Final[dict[ExportFormat, Callable[[str], str | None]]] = {
    "torchao": _torchao_obstacle,
    "diffusers": _torchao_obstacle,
    "modelopt": _modelopt_obstacle,
}
"""Why a format cannot say a quant type; None where it can."""
