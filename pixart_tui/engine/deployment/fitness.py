"""Finds out whether a pipeline that a user built can be deployed, before anything is changed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.deployment.snapshot import modules_of
from pixart_tui.engine.typing import Pipeline

_KEPT_IN_FLOAT32 = ".wo."
"""transformers keeps these linears of a half-precision T5 in float32."""

_LORA = ("lora_A", "lora_B", "base_layer")


def refuse_unfit(pipeline: Pipeline) -> torch.device:
    """Refuses a pipeline that cannot be deployed as it is; nothing of it is changed.

    Args:
        pipeline: A diffusers pipeline of any kind.

    Returns:
        The device of all its parts.

    Raises:
        RequestError: It is no PixArt pipeline; or it is compiled, quantized, offloaded, on several
            devices, in several dtypes, or has a LoRA that is not merged.
    """
    from diffusers import AutoencoderKL, PixArtTransformer2DModel

    # A module that torch.compile wrapped holds the module.
    transformer, vae = (
        getattr(part, "_orig_mod", part)
        for part in (getattr(pipeline, name, None) for name in ("transformer", "vae"))
    )
    if not isinstance(transformer, PixArtTransformer2DModel) or not isinstance(vae, AutoencoderKL):
        raise _unfit(
            "this is no PixArt pipeline",
            f"it is a {type(pipeline).__name__} with a {type(transformer).__name__}",
            "pass a PixArtAlphaPipeline, PixArtSigmaPipeline or PixArtSigmaPAGPipeline",
        )
    if _is_compiled(pipeline):
        raise _unfit(
            "this pipeline is compiled already",
            "a module of it has a compiled call",
            "load it once more and compile nothing: optimize does that",
        )
    _refuse_hooks(pipeline)
    _refuse_lora(transformer)
    _refuse_quantized(pipeline)
    _refuse_mixed_dtypes(pipeline)
    return _device(pipeline)


def _is_compiled(pipeline: Pipeline) -> bool:
    return any(
        module._compiled_call_impl is not None or hasattr(module, "_orig_mod")
        for module in modules_of(pipeline)
    )


def _refuse_hooks(pipeline: Pipeline) -> None:
    hooked = [
        module
        for module in modules_of(pipeline)
        if hasattr(module, "_hf_hook") or hasattr(module, "_diffusers_hook")
    ]
    if hooked or getattr(pipeline, "hf_device_map", None):
        raise _unfit(
            "this pipeline moves its parts between devices",
            "it was loaded with a device map, or offloading is on",
            "load it without, and pass memory_budget= to need less GPU memory",
        )


def _refuse_lora(transformer: nn.Module) -> None:
    found = [name for name, _ in transformer.named_parameters() if any(x in name for x in _LORA)]
    if found:
        raise _unfit(
            "the transformer has a LoRA that is not merged",
            f"it has the parameter {found[0]}",
            "merge it into the weights first (with peft: merge_and_unload)",
        )


def _refuse_quantized(pipeline: Pipeline) -> None:
    for module in modules_of(pipeline):
        if getattr(module, "hf_quantizer", None) is not None:
            kind = type(module.hf_quantizer).__name__
        else:
            kind = next((name for name in map(_kind, module.parameters(False)) if name), "")
        if kind:
            raise _unfit(
                "this pipeline is quantized already",
                f"its {type(module).__name__} holds weights of {kind}",
                "load it in bfloat16",
            )


def _kind(tensor: Tensor) -> str:
    """The name of what holds quantized weights; empty for plain weights."""
    plain = type(tensor) in (Tensor, nn.Parameter) and type(tensor.data) is Tensor
    if plain and tensor.dtype.is_floating_point and tensor.dtype.itemsize > 1:
        return ""
    return str(tensor.dtype) if plain else type(tensor).__name__


def _refuse_mixed_dtypes(pipeline: Pipeline) -> None:
    dtypes: dict[torch.dtype, str] = {}
    for part, name, tensor in _parameters(pipeline):
        if _KEPT_IN_FLOAT32 not in name:
            dtypes.setdefault(tensor.dtype, part)
    if len(dtypes) > 1:
        found = " and ".join(f"{part} in {_name(dtype)}" for dtype, part in dtypes.items())
        raise _unfit(
            "this pipeline is in several dtypes", found, "convert it: pipe.to(torch.bfloat16)"
        )


def _device(pipeline: Pipeline) -> torch.device:
    devices: dict[torch.device, str] = {}
    for part, _, tensor in _parameters(pipeline):
        devices.setdefault(tensor.device, part)
    if len(devices) > 1 or next(iter(devices)).type not in ("cpu", "cuda"):
        found = " and ".join(f"{part} on {device}" for device, part in devices.items())
        raise _unfit("this pipeline is not on one device", found, 'move it: pipe.to("cuda")')
    return next(iter(devices))


def _parameters(pipeline: Pipeline) -> Iterator[tuple[str, str, Tensor]]:
    """Part, name and tensor of every parameter; a pipeline may lack its text encoder."""
    for part in ("transformer", "vae", "text_encoder"):
        module = getattr(pipeline, part, None)
        for name, tensor in module.named_parameters() if module is not None else ():
            yield part, name, tensor


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _unfit(title: str, cause: str, next_step: str) -> RequestError:
    return RequestError(title, cause=cause, next_step=next_step)
