"""What of a generation's pipeline is quantized, and by whom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from pixart_tui.domain import onediff_file
from pixart_tui.domain.deployment import Deployment
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.quant_types import parse_quant_type
from pixart_tui.domain.quantized_layers import choose_layers, refuse_unknown
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.engine.generation.call import GenerateCall
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading import LoadedPipeline
from pixart_tui.engine.quant.execution import Execution, plan_execution


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
        RequestError: The layers' file names layers that the model does not have, or nothing would
            be quantized.
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
    wanted = _wanted(request)
    if request.compiler == "nexfort":
        refuse_unknown(wanted or (), [layer.fqn for layer in layers])
        return _by_nexfort(request, deployment, wanted)
    chosen = choose_layers(request.quant_type, wanted, layers)
    plan = plan_execution(parse_quant_type(request.quant_type), device)
    simulated = plan.execution is Execution.SIMULATED
    changes = {"quant_type": request.quant_type, "layers": chosen.layers}
    if simulated:
        changes |= {"compiler": "none", "compiler_config": ""}
    without = "; without the compiler" if simulated and request.compiler != "none" else ""
    told = f"{request.quant_type} is simulated here: {plan.reason}{without}" if simulated else ""
    return Quantization(
        deployment.model_copy(update=changes),
        len(chosen.layers),
        plan.execution.value,
        "; ".join(filter(None, (told, chosen.note))),
    )


def _by_nexfort(
    request: GenerateRequest, deployment: Deployment, wanted: tuple[str, ...] | None
) -> Quantization:
    changes = {
        "quant_type": request.quant_type,
        "layers": wanted or (),
        "layer_file": request.quant_submodules_config_path or "",
        "top_percentage": request.top_percentage,
    }
    count = None if wanted is None else len(wanted)
    return Quantization(deployment.model_copy(update=changes), count, "real")


def _wanted(request: GenerateRequest) -> tuple[str, ...] | None:
    """The layers that the request's file chooses, None where there is no file."""
    if request.quant_submodules_config_path is None:
        return None
    path = Path(request.quant_submodules_config_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"{path} cannot be read", cause, "name another file") from error
    return onediff_file.chosen_layers(onediff_file.parse(text, str(path)), request.top_percentage)
