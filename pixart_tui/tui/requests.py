"""The requests that the dashboard makes, with what a user would otherwise type."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

from pixart_tui.domain.onediff_file import selected_path
from pixart_tui.domain.requests import (
    AnyRequest,
    BenchRequest,
    CompareRequest,
    ProfileRequest,
    SamplingRequest,
    VerifyRequest,
)
from pixart_tui.domain.selection import Selection


def selection_path(request: ProfileRequest) -> Path:
    """Where a selection from a profile is saved."""
    return Path(selected_path(Path(request.output)))


def verifies(request: AnyRequest | None, profile: AnyRequest | None) -> bool:
    """Whether a request is to verify the selection that stands beside a profile."""
    if not isinstance(request, VerifyRequest) or not isinstance(profile, ProfileRequest):
        return False
    return request.output == str(selection_path(profile))


def bench_request(request: ProfileRequest) -> BenchRequest:
    """The benchmark of the selection that was saved beside a profile, under its conditions."""
    shared = {name: getattr(request, name) for name in SamplingRequest.model_fields}
    output = Path(request.output)
    asked = BenchRequest(
        **shared,
        compilers=("none", "compile"),
        quantize=True,
        quant_type=request.quant_type,
        quant_submodules_config_path=str(selection_path(request)),
        top_percentage=100,
        output=str(output.with_name(f"{output.stem}.bench.json")),
    )
    return asked.model_copy(update={"command": _command(asked)})


def verify_request(request: ProfileRequest, selection: Selection) -> VerifyRequest:
    """The verification of a profile's selection, written where the selection is saved."""
    shared = {name: getattr(request, name) for name in SamplingRequest.model_fields}
    return VerifyRequest(
        **shared | {"prompts": ()},
        profiles=(request.output,),
        rule=selection.rule,
        parameter=selection.parameter,
        fused=selection.fused,
        output=str(selection_path(request)),
    )


def compare_request(request: ProfileRequest, fqn: str) -> CompareRequest:
    """The pictures of one of a profile's layers, of its prompts with its first seed."""
    shared = {name: getattr(request, name) for name in SamplingRequest.model_fields}
    output = Path(request.output)
    return CompareRequest(
        **shared,
        quant_type=request.quant_type,
        execution=request.execution,
        baseline_dtype=request.baseline_dtype,
        layers=(fqn,),
        seeds=request.seeds[:1],
        output=str(output.with_name(f"{output.stem}.{fqn}.png")),
    )


def _command(asked: BenchRequest) -> str:
    words = ["pixart-tui", "bench", "--model", asked.model]
    for compiler in asked.compilers:
        words += ["--compiler", compiler]
    quantization = {"quant_type": asked.quant_type, "top_percentage": asked.top_percentage}
    words += ["--quantize", "--quantize-config", json.dumps(quantization)]
    words += ["--quant-submodules-config-path", asked.quant_submodules_config_path or ""]
    return shlex.join([*words, "--json", asked.output or ""])
