"""Decides which layers of a generation's pipeline are quantized, and by which backend."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.deploying.quantized_layers import choose_layers, refuse_unknown
from pixart_tui.domain.files import layer_file
from pixart_tui.domain.layers.choice import Choice, spell_kept, spell_types
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.steps import NO_STEPS
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.domain.words import count
from pixart_tui.engine.generation.call import GenerateCall
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.quant.execution import Execution, plan_choice
from pixart_tui.engine.schedule import call_count


@dataclass(frozen=True, slots=True)
class Quantization:
    """How the pipeline is made to run, and what is to be said of it.

    Attributes:
        deployment: The compiler and the quantized layers.
        count: How many layers are quantized; None where nexfort decides.
        execution_name: Whether they run for real; empty where none are quantized.
        note: What the user has to know; empty for nothing.
    """

    deployment: Deployment
    count: int | None = 0
    execution_name: Literal["", "real", "simulated"] = ""
    note: str = ""


def plan_quantization(
    request: GenerateRequest,
    loaded: LoadedPipeline,
    call: GenerateCall,
    size: tuple[int, int],
    device: torch.device,
) -> Quantization:
    """Settles what a request quantizes.

    A simulation runs without the compiler: its image does not depend on it.

    Raises:
        RequestError: The layers' file names layers that the model does not have, nothing would be
            quantized, or the compiler cannot deploy what it says.
    """
    deployment = Deployment(compiler=request.compiler, compiler_config=request.compiler_config)
    if not request.quantize:
        return Quantization(deployment)
    layers = list_layers(
        loaded.pipeline,
        height=size[0],
        width=size[1],
        text_tokens=call.text_tokens,
        guidance=call.guidance_scale > 1,
    )
    wanted = _wanted(request, layers)
    if request.compiler == "nexfort":
        return _by_nexfort(request, deployment, wanted, layers)
    attention, wanted = wanted.of_attention, wanted.of_layers
    chosen = choose_layers(wanted, layers)
    mixture = tuple(_mixture(chosen.choice, loaded, call))
    if blocks := len(attention.assignments):
        mixture = (*mixture, f"self-attention in fp8: {count(blocks, 'block')}")
    plan = plan_choice(chosen.choice, device)
    assert plan is not None
    simulated = plan.execution is Execution.SIMULATED
    changes: dict[str, object] = {"choice": chosen.choice, "attention": attention}
    if simulated:
        changes |= {"compiler": "none", "compiler_config": ""}
    without = "; without the compiler" if simulated and request.compiler != "none" else ""
    told = f"{wanted.quant_type} is simulated here: {plan.reason}{without}" if simulated else ""
    return Quantization(
        deployment.replace(**changes),
        len(chosen.choice.assignments),
        plan.execution.value,
        "; ".join(filter(None, (told, chosen.note, *mixture))),
    )


def _mixture(choice: Choice, loaded: LoadedPipeline, call: GenerateCall) -> Iterator[str]:
    """Describes a mixed selection; refuses one that keeps every step."""
    if len(choice.quant_types) > 1:
        yield f"layers by quant type: {spell_types(choice.layers_by_type)}"
    if choice.kept_steps:
        # Transformer calls, of which some schedulers make several a step.
        timesteps = call.options.get("timesteps", ())
        steps = call_count(loaded.pipeline, call.num_inference_steps, timesteps)
        choice.kept_steps.check_leaves_some(steps)
        yield spell_kept(choice.kept_steps, steps, len(choice.through_kept_steps))


def _by_nexfort(
    request: GenerateRequest, deployment: Deployment, wanted: Choice, layers: Sequence[Layer]
) -> Quantization:
    refuse_unknown(wanted.assignments, [layer.fqn for layer in layers])
    path = request.quant_submodules_config_path
    changes = {
        "choice": wanted,
        "layer_file": path or "",
        "top_percentage": request.top_percentage,
    }
    layers_named = None if path is None else len(wanted.assignments)
    return Quantization(deployment.replace(**changes), layers_named, "real")


def _wanted(request: GenerateRequest, layers: Sequence[Layer]) -> Choice:
    """Returns the layers that the request's file chooses; every layer without a file."""
    path = request.quant_submodules_config_path
    if path is None:
        return Choice.of_one(request.quant_type, [layer.fqn for layer in layers])
    file = layer_file.read(Path(path))
    file.refuse_compilers([request.compiler])
    return file.choice(request.quant_type, request.top_percentage, NO_STEPS)
