"""What a profile will measure: settings, layers, and the conditions that they hold for."""

from __future__ import annotations

from typing import Final

import torch

from pixart_tui.domain.events import ProfilePlanned
from pixart_tui.domain.layers import Layer
from pixart_tui.domain.profile import Conditions
from pixart_tui.domain.quant_rules import exclusion_reason
from pixart_tui.domain.quant_types import QuantType, parse_quant_type
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import default_prompts
from pixart_tui.engine.sensitivity.rendering import Sample, Settings

BASELINE_DTYPE: Final = torch.float32
FLOOR_DTYPE: Final = torch.bfloat16


def resolve_settings(request: ProfileRequest, loaded: LoadedPipeline) -> Settings:
    """The request with the model's own defaults for what it leaves open."""
    defaults = loaded.defaults
    prompts = request.prompts or default_prompts(request.model)
    return Settings(
        samples=tuple(Sample(prompt, seed) for seed in request.seeds for prompt in prompts),
        negative_prompt=request.negative_prompt,
        num_inference_steps=request.num_inference_steps or defaults.num_inference_steps,
        guidance_scale=_given(request.guidance_scale, defaults.guidance_scale),
        height=request.height or defaults.height,
        width=request.width or defaults.width,
        max_sequence_length=defaults.max_sequence_length,
    )


def _given(value: float | None, default: float) -> float:
    return default if value is None else value


def plan_profile(
    request: ProfileRequest, loaded: LoadedPipeline, settings: Settings, device: torch.device
) -> ProfilePlanned:
    """Every layer, the excluded ones with their reason, and the conditions."""
    layers = list_layers(
        loaded.pipeline,
        height=settings.height,
        width=settings.width,
        text_tokens=settings.max_sequence_length,
        guidance=settings.guidance_scale > 1,
    )
    return ProfilePlanned(
        machine=describe_machine(device),
        versions=describe_versions(),
        conditions=_conditions(request, loaded, settings),
        layers=layers,
        excluded=_excluded(layers, parse_quant_type(request.quant_type)),
    )


def _excluded(layers: tuple[Layer, ...], quant_type: QuantType) -> dict[str, str]:
    reasons = {layer.fqn: exclusion_reason(layer, quant_type) for layer in layers}
    return {fqn: reason for fqn, reason in reasons.items() if reason is not None}


def _conditions(request: ProfileRequest, loaded: LoadedPipeline, settings: Settings) -> Conditions:
    return Conditions(
        model=request.model,
        family=loaded.family,
        model_fingerprint=loaded.fingerprint,
        quant_type=request.quant_type,
        execution="simulated",
        method=request.method,
        prompts=tuple(dict.fromkeys(sample.prompt for sample in settings.samples)),
        negative_prompt=settings.negative_prompt,
        seeds=request.seeds,
        num_inference_steps=settings.num_inference_steps,
        guidance_scale=settings.guidance_scale,
        height=settings.height,
        width=settings.width,
        baseline_dtype=dtype_name(BASELINE_DTYPE),
        floor_dtype=dtype_name(FLOOR_DTYPE),
    )


def dtype_name(dtype: torch.dtype) -> str:
    """``torch.bfloat16`` -> ``bfloat16``."""
    return str(dtype).removeprefix("torch.")
