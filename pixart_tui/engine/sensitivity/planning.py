"""Plans a profile: settings, layers, and the conditions of its measurements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final, cast

import torch
from torch import nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import Noticed, ProfilePlanned
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_rules import HOPPER, attention_exclusion, exclusion_reason
from pixart_tui.domain.layers.quant_types import QuantType, parse_quant_type
from pixart_tui.domain.profiles.profile import Conditions
from pixart_tui.domain.requests import ProfileRequest, no_attention_of_whole_images
from pixart_tui.engine.layers import list_attention, list_layers
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.prompts import default_prompts
from pixart_tui.engine.quant.execution import Execution, plan_execution
from pixart_tui.engine.quant.isolated import kernel_refusal
from pixart_tui.engine.reading import PromptReader
from pixart_tui.engine.schedule import call_count
from pixart_tui.engine.sensitivity.parallel import replica_count
from pixart_tui.engine.sensitivity.rendering import Sample, Settings

FLOOR_DTYPE: Final = torch.bfloat16

_BASELINE_DTYPES: Final[Mapping[str, torch.dtype]] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
}


def baseline_dtype(request: ProfileRequest) -> torch.dtype:
    """The dtype of the reference images, and of everything around the quantized layer."""
    return _BASELINE_DTYPES[request.baseline_dtype]


def has_floor(request: ProfileRequest) -> bool:
    """Whether the deployment dtype can be told from the baseline's."""
    return baseline_dtype(request) is not FLOOR_DTYPE


def quant_types_of(request: ProfileRequest) -> tuple[QuantType, ...]:
    """Every quant type that is measured.

    Raises:
        RequestError: There is no such quant type, or the method measures one at a time.
    """
    if request.more_quant_types and request.method == "exhaustive":
        raise RequestError(
            "the exhaustive method measures one quant type a run",
            cause=f"{1 + len(request.more_quant_types)} are asked for",
            next_step="give one --quant-type, or use --method adjoint",
        )
    names = dict.fromkeys((request.quant_type, *request.more_quant_types))
    return tuple(parse_quant_type(name) for name in names)


def check_execution(request: ProfileRequest, device: torch.device) -> Execution:
    """How the quantized layer is computed, exactly as it was asked for.

    Raises:
        RequestError: There is no such quant type, the device does not run one for real, or fp8
            attention is asked for and the method does not measure it or the device not run it.
    """
    _check_attention(request, device)
    asked, quant_types = Execution(request.execution), quant_types_of(request)
    if asked is Execution.SIMULATED:
        return asked
    for quant_type in quant_types:
        plan = plan_execution(quant_type, device)
        if plan.execution is not Execution.REAL:
            raise RequestError(
                f"{quant_type.name} does not run with its real kernel on {request.device}",
                cause=plan.reason,
                next_step="measure it with --execution simulated, or choose another "
                "--quant-type or --device",
            )
    return asked


def _check_attention(request: ProfileRequest, device: torch.device) -> None:
    if not request.fp8_attention:
        return
    if request.method == "exhaustive":
        raise no_attention_of_whole_images()
    if request.execution == "simulated":
        return
    if device.type != "cuda" or torch.cuda.get_device_capability(device) != HOPPER:
        raise RequestError(
            f"fp8 attention does not run with its real kernel on {request.device}",
            cause="the kernel is written for compute capability 9.0",
            next_step="measure it with --execution simulated",
            option="--fp8-attention",
        )


def resolve_settings(request: ProfileRequest, loaded: LoadedPipeline) -> Settings:
    """The request with the model's own defaults for what it leaves open.

    Raises:
        RequestError: The model's scheduler cannot run so.
    """
    sampling = loaded.defaults.for_request(request)
    call_count(loaded.pipeline, sampling.num_inference_steps, sampling.timesteps)
    prompts = prompt_reader(loaded).distinct(_prompts(request))
    return Settings(
        samples=tuple(Sample(prompt, seed) for seed in request.seeds for prompt in prompts),
        negative_prompt=request.negative_prompt,
        num_inference_steps=sampling.num_inference_steps,
        timesteps=sampling.timesteps,
        guidance_scale=sampling.guidance_scale,
        height=sampling.height,
        width=sampling.width,
        max_sequence_length=sampling.max_sequence_length,
    )


def prompt_reader(loaded: LoadedPipeline) -> PromptReader:
    """Reads prompts as the images of a profile are made with them."""
    return PromptReader(loaded.pipeline, loaded.defaults.max_sequence_length)


def prompt_notices(request: ProfileRequest, loaded: LoadedPipeline) -> Iterator[Noticed]:
    """Yields notes on what was loaded, and on how the model reads the prompts."""
    yield from (Noticed(text=note) for note in loaded.notes)
    yield from prompt_reader(loaded).notices(_prompts(request), request.negative_prompt)


def _prompts(request: ProfileRequest) -> tuple[str, ...]:
    return request.prompts or default_prompts(request.model)


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
    by_type = {
        quant_type.name: _excluded(layers, quant_type, loaded.pipeline.transformer, request)
        for quant_type in quant_types_of(request)
    }
    excluded = by_type.pop(request.quant_type)
    config = loaded.pipeline.transformer.config
    guided = settings.guidance_scale > 1
    attention = list_attention(layers, heads=config.num_attention_heads, guidance=guided)
    attention = attention if request.fp8_attention else ()
    refusal = attention_exclusion(config.attention_head_dim)
    return ProfilePlanned(
        machine=describe_machine(device),
        versions=describe_versions(),
        conditions=_conditions(request, loaded, settings),
        layers=layers,
        excluded=excluded,
        more_types=by_type,
        attention=attention,
        attention_excluded={x.fqn: refusal for x in attention} if refusal else {},
        replicas=replica_count(device, request.threads),
    )


def _excluded(
    layers: tuple[Layer, ...],
    quant_type: QuantType,
    transformer: nn.Module,
    request: ProfileRequest,
) -> dict[str, str]:
    reasons = {layer.fqn: exclusion_reason(layer, quant_type) for layer in layers}
    excluded = {fqn: reason for fqn, reason in reasons.items() if reason is not None}
    if request.execution == "real":
        able = [layer for layer in layers if layer.fqn not in excluded]
        excluded |= _refused(able, transformer, quant_type)
    return excluded


def _refused(layers: list[Layer], transformer: nn.Module, quant_type: QuantType) -> dict[str, str]:
    """The layers that no rule excludes and whose kernel does not run; each shape is tried once."""
    tried: dict[tuple[int, int, bool, int], str | None] = {}
    for layer in layers:
        shape = _shape(layer)
        if shape not in tried:
            linear = cast(nn.Linear, transformer.get_submodule(layer.fqn))
            tried[shape] = kernel_refusal(linear, quant_type, layer.rows)
    reasons = {layer.fqn: tried[_shape(layer)] for layer in layers}
    return {fqn: reason for fqn, reason in reasons.items() if reason is not None}


def _shape(layer: Layer) -> tuple[int, int, bool, int]:
    return (layer.in_features, layer.out_features, layer.has_bias, layer.rows)


def _conditions(request: ProfileRequest, loaded: LoadedPipeline, settings: Settings) -> Conditions:
    steps = settings.num_inference_steps
    calls = call_count(loaded.pipeline, steps, settings.timesteps)
    return Conditions(
        model=request.model,
        variant=request.variant,
        lora=request.lora,
        family=loaded.family,
        model_fingerprint=loaded.fingerprint,
        quant_type=request.quant_type,
        execution=request.execution,
        method=request.method,
        draws=request.draws if request.method == "adjoint" else 0,
        prompts=tuple(dict.fromkeys(sample.prompt for sample in settings.samples)),
        negative_prompt=settings.negative_prompt,
        seeds=request.seeds,
        num_inference_steps=steps,
        timesteps=settings.timesteps,
        num_calls=0 if calls == steps else calls,
        guidance_scale=settings.guidance_scale,
        height=settings.height,
        width=settings.width,
        baseline_dtype=request.baseline_dtype,
        floor_dtype=dtype_name(FLOOR_DTYPE) if has_floor(request) else None,
    )


def dtype_name(dtype: torch.dtype) -> str:
    """``torch.bfloat16`` -> ``bfloat16``."""
    return str(dtype).removeprefix("torch.")
