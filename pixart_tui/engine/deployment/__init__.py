"""Making a pipeline run as a deployment says. Imports ``memory``, ``quant``, ``compilers``."""

from __future__ import annotations

import torch

from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.selecting.fusing import refuse_unfusable
from pixart_tui.engine.compilers.onediff import OnediffPlan, deploy_onediff
from pixart_tui.engine.compilers.plans import apply_plan, is_fused, plan_for
from pixart_tui.engine.compilers.torch_apply import OnCapture
from pixart_tui.engine.deployment.kept_steps import keep_steps, share_layers
from pixart_tui.engine.memory import apply_memory_options
from pixart_tui.engine.quant.apply import quantize_layers
from pixart_tui.engine.quant.attention_swap import put_attention_in_fp8
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.typing import Pipeline
from pixart_tui.engine.weight_sharing import weight_sharing_copy

__all__ = ["deploy"]


def deploy(
    pipeline: Pipeline,
    deployment: Deployment,
    execution: Execution | None,
    device: torch.device,
    on_capture: OnCapture = lambda _elapsed_s: None,
) -> None:
    """Changes a pipeline in place; what compiles does so at the first call.

    Args:
        pipeline: As it was loaded.
        deployment: What is done to it.
        execution: How the quantized layers are computed; None where none are. nexfort has its own
            kernels and is not asked.
        device: Where the pipeline is.
        on_capture: Called with each CUDA graph that we capture, and the seconds it took.

    Raises:
        RequestError: A layer, a compiler or an option that this pipeline or device cannot take, or
            quant types that the fused kernels cannot run side by side.
        WorkError: The host has too little memory for what waits there.
    """
    choice, kept_transformer = deployment.choice, None
    plan = plan_for(deployment.compiler, deployment.compiler_config, device)
    if isinstance(plan, OnediffPlan):
        deploy_onediff(pipeline, deployment, plan)
        return
    if is_fused(plan):
        refuse_unfusable(choice)
    apply_memory_options(pipeline, deployment.memory, device)
    if choice.assignments and execution is not None:
        quant_types = {fqn: parse_quant_type(name) for fqn, name in choice.assignments.items()}
        kept_transformer = weight_sharing_copy(pipeline.transformer) if choice.kept_steps else None
        quantize_layers(pipeline.transformer, quant_types, execution=execution)
        if kept_transformer is not None:
            share_layers(
                kept_transformer, pipeline.transformer, filter(choice.is_at_every_step, quant_types)
            )
    attention = tuple(deployment.attention.assignments)
    everywhere = tuple(filter(deployment.attention.is_at_every_step, attention))
    if execution is Execution.SIMULATED:
        put_attention_in_fp8(pipeline.transformer, attention)
        if kept_transformer is not None:
            put_attention_in_fp8(kept_transformer, everywhere)
        attention = everywhere = ()
    apply_plan(
        pipeline,
        plan,
        fp8_attention=deployment.fp8_attention or attention,
        kept_fp8_attention=everywhere,
        on_capture=on_capture,
        kept_transformer=kept_transformer,
    )
    if kept_transformer is not None:
        keep_steps(pipeline, kept_transformer, choice.kept_steps)
