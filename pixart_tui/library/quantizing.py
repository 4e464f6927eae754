"""Quantizing a pipeline in place, nothing compiled."""

from __future__ import annotations

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.quant_types import (
    ExecutionName,
    parse_quant_type,
)
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.execution import Execution, plan_execution
from pixart_tui.engine.typing import Pipeline


def quantize(
    pipeline: Pipeline,
    selection: Selection,
    *,
    execution: ExecutionName = "real",
) -> Pipeline:
    """Quantizes a pipeline's transformer as a selection says, in place, and returns the pipeline.

    Args:
        pipeline: A PixArt pipeline that is not quantized.
        selection: What :func:`select` gives.
        execution: The device's kernels, or the reference numerics, which are slow.

    Raises:
        RequestError: The device has no kernel for a quant type, a layer that the pipeline does
            not have, or a selection that keeps steps.
    """
    if selection.kept_steps:
        raise RequestError(
            "a pipeline that is quantized in place cannot keep steps",
            cause=f"the selection keeps {selection.kept_steps.words}",
            next_step="use pixart-tui bench or generate, which read the selection's file",
        )
    if selection.attention:
        raise RequestError(
            "a pipeline that is quantized in place keeps attention in 16 bits",
            cause=f"the selection has that of {', '.join(selection.attention[:3])} in fp8",
            next_step="select from the profiles of layers alone",
        )
    quant_types = {fqn: parse_quant_type(x) for fqn, x in selection.assignments.items()}
    device = next(pipeline.transformer.parameters()).device
    for quant_type in dict.fromkeys(quant_types.values()):
        plan = plan_execution(quant_type, device)
        if execution == "real" and plan.execution is not Execution.REAL:
            raise RequestError(
                f"{quant_type.name} does not run with its real kernel on {device}",
                cause=plan.reason,
                next_step='pass execution="simulated" for its images, without its speed',
            )
    quantize_layers(pipeline.transformer, quant_types, execution=Execution(execution))
    return pipeline
