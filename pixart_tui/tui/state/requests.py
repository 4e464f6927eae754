"""The requests that the dashboard makes, with what a user would otherwise type."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.onediff_file import selected_path
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.requests import (
    AnyRequest,
    BenchRequest,
    CompareRequest,
    ProfileRequest,
    VerifyRequest,
    output_of,
)
from pixart_tui.domain.selecting.selection import Selection


def selection_path(request: ProfileRequest, quant_types: Sequence[str] = ()) -> Path:
    """Where a selection from a profile is saved.

    Args:
        request: The profile.
        quant_types: Those that were chosen from; the profile's own where there are none.
    """
    types = quant_types or request.quant_types
    if len(types) > 1:
        return Path(selected_path(Path(request.output).with_name("mixed.json")))
    return Path(selected_path(output_of(request, types[0])))


def verifies(request: AnyRequest | None, profile: AnyRequest | None) -> bool:
    """Whether a request is to verify the selection that stands beside a profile."""
    if not isinstance(request, VerifyRequest) or not isinstance(profile, ProfileRequest):
        return False
    choices = [(quant_type,) for quant_type in profile.quant_types]
    paths = {str(selection_path(profile, types)) for types in (*choices, profile.quant_types)}
    return request.output in paths


def bench_request(
    request: ProfileRequest, selection: Selection, quant_types: Sequence[str]
) -> BenchRequest:
    """The benchmark of the selection that was saved beside a profile, under its conditions.

    Args:
        request: The profile.
        selection: The selection.
        quant_types: Those that it was chosen from.
    """
    saved = selection_path(request, quant_types)
    asked = BenchRequest(
        **request.sampling(),
        compilers=("none", "compile"),
        quantize=True,
        quant_type=selection.choice.quant_type or request.quant_type,
        quant_submodules_config_path=str(saved),
        top_percentage=100,
        output=str(saved.with_name(f"{saved.name.removesuffix('.selected.json')}.bench.json")),
    )
    command = _command(asked, mixed=not selection.fits_onediff)
    return asked.replace(command=command)


def verify_request(
    request: ProfileRequest, selection: Selection, quant_types: Sequence[str]
) -> VerifyRequest:
    """The verification of a profile's selection, written where the selection is saved.

    Args:
        request: The profile.
        selection: The selection.
        quant_types: Those that it was chosen from.
    """
    return VerifyRequest(
        **request.sampling() | {"prompts": ()},
        profiles=tuple(str(output_of(request, quant_type)) for quant_type in quant_types),
        rule=selection.rule,
        parameter=selection.parameter,
        fused=selection.fused,
        choose_steps=bool(selection.kept_steps),
        output=str(selection_path(request, quant_types)),
    )


def compare_request(request: ProfileRequest, quant_type: str, fqn: str) -> CompareRequest:
    """The pictures of one of a profile's layers, of its prompts with its first seed.

    Raises:
        RequestError: It is the attention of a block.
    """
    if quant_type == FP8_ATTENTION:
        raise RequestError(
            "pictures are of layers",
            cause=f"{fqn} is the attention of a block",
            next_step="y shows the layers; or verify a selection that has it",
        )
    output = output_of(request, quant_type)
    return CompareRequest(
        **request.sampling(),
        quant_type=quant_type,
        execution=request.execution,
        baseline_dtype=request.baseline_dtype,
        layers=(fqn,),
        seeds=request.seeds[:1],
        output=str(output.with_name(f"{output.stem}.{fqn}.png")),
    )


def _command(asked: BenchRequest, *, mixed: bool) -> str:
    words = ["pixart-tui", "bench", "--model", asked.model, *asked.weight_options]
    for compiler in asked.compilers:
        words += ["--compiler", compiler]
    words.append("--quantize")
    if not mixed:  # which says this itself
        quantization = {"quant_type": asked.quant_type, "top_percentage": asked.top_percentage}
        words += ["--quantize-config", json.dumps(quantization)]
    words += ["--quant-submodules-config-path", asked.quant_submodules_config_path or ""]
    return shlex.join([*words, "--json", asked.output or ""])
