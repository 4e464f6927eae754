"""The command line that asks for what a run was asked, for those who want to do it again."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from pixart_tui.domain.requests import (
    DEFAULT_QUANT_TYPE,
    AnyRequest,
    BenchRequest,
    ProfileRequest,
    VerifyRequest,
)

_SAMPLING = {
    "negative_prompt": "--negative-prompt",
    "num_inference_steps": "--steps",
    "guidance_scale": "--guidance-scale",
    "height": "--height",
    "width": "--width",
}
_PROFILE = {
    "quant_type": "--quant-type",
    "execution": "--execution",
    "baseline_dtype": "--baseline-dtype",
    "method": "--method",
    "draws": "--draws",
    "cut": "--cut",
    "max_minutes": "--max-minutes",
}

_FLAGS = {
    "fp8_attention": "--fp8-attention",
    "all_samples": "--all-samples",
    "low_memory": "--low-memory",
}


def command_of(request: AnyRequest) -> str:
    """A benchmark's is as it was typed; the others are put together, without default values."""
    if isinstance(request, BenchRequest):
        return request.command
    if isinstance(request, ProfileRequest):
        return shlex.join(["pixart-tui", "profile", *_profile(request)])
    if isinstance(request, VerifyRequest):
        return shlex.join(["pixart-tui", "select", *_verify(request)])
    return ""


def _profile(request: ProfileRequest) -> Iterator[str]:
    yield from ("--model", request.model, *request.weight_options)
    for prompt in request.prompts:
        yield from ("--prompt", prompt)
    if request.timesteps:
        yield from ("--timesteps", ",".join(map(str, request.timesteps)))
    yield from _given(request, _SAMPLING | _PROFILE)
    if request.more_quant_types and request.quant_type == DEFAULT_QUANT_TYPE:
        yield from ("--quant-type", request.quant_type)
    for quant_type in request.more_quant_types:
        yield from ("--quant-type", quant_type)
    yield from (option for field, option in _FLAGS.items() if getattr(request, field))
    if len(request.seeds) > 1:
        yield from ("--seeds", str(len(request.seeds)))
    yield from ("--device", request.device)


def _verify(request: VerifyRequest) -> Iterator[str]:
    yield from (*request.profiles, f"--{request.rule}", f"{request.parameter:g}", "--verify")
    if request.fused:
        yield "--fused"
    if request.choose_steps:
        yield "--choose-steps"
    yield from ("--device", request.device)


def _given(request: ProfileRequest, options: dict[str, str]) -> Iterator[str]:
    for field, option in options.items():
        value = getattr(request, field)
        if value is not None and value != ProfileRequest.model_fields[field].default:
            yield from (option, f"{value:g}" if isinstance(value, float) else str(value))
