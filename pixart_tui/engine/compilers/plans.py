"""The compilers by name: what each does on a device, and doing it."""

from __future__ import annotations

from collections.abc import Collection
from typing import TypeAlias

import torch

from pixart_tui.domain.deploying.compiler_config import parse_compiler_config
from pixart_tui.domain.deploying.deployment import ONEDIFF_BACKENDS
from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.compilers.inductor import CompilePlan, apply_compiler, compile_plan
from pixart_tui.engine.compilers.onediff import OnediffPlan, onediff_plan
from pixart_tui.engine.compilers.torch_apply import OnCapture, apply_torch
from pixart_tui.engine.compilers.torch_plan import TorchPlan, torch_plan
from pixart_tui.engine.typing import Pipeline, Transformer

OurPlan: TypeAlias = CompilePlan | TorchPlan
Plan: TypeAlias = OurPlan | OnediffPlan


def plan_for(compiler: str, config: str, device: torch.device) -> Plan | None:
    """Returns the plan of a compiler on a device, None for ``none``.

    Args:
        compiler: Its name.
        config: What ``torch`` or ``nexfort`` is given, as JSON text; empty for its defaults.
        device: Where the pipeline is.

    Raises:
        RequestError: The configuration is not one.
    """
    if compiler in ONEDIFF_BACKENDS:
        return onediff_plan(compiler, config)
    return our_plan_for(compiler, config, device)


def our_plan_for(compiler: str, config: str, device: torch.device) -> OurPlan | None:
    """The same of the compilers that are not OneDiff's; see :func:`plan_for`."""
    if compiler == "torch":
        return torch_plan(parse_compiler_config(config or "{}"), device)
    return compile_plan(compiler, device)


def is_fused(plan: Plan | None) -> bool:
    """Whether our own kernels run the transformer."""
    return isinstance(plan, TorchPlan) and plan.transformer == "fused"


def apply_plan(
    pipeline: Pipeline,
    plan: OurPlan | None,
    *,
    fp8_attention: bool | Collection[str] = False,
    kept_fp8_attention: Collection[str] = (),
    on_capture: OnCapture = lambda _elapsed_s: None,
    kept_transformer: Transformer | None = None,
) -> None:
    """Changes a pipeline in place; what compiles does so at the first call.

    Args:
        pipeline: On the device that the plan was made for, its memory options applied, quantized.
        plan: What is done.
        fp8_attention: Whether self-attention multiplies in fp8, or the blocks' attention modules
            whose does; only our own kernels can.
        kept_fp8_attention: The same of the kept transformer.
        on_capture: Called with each CUDA graph that we capture, and the seconds it took.
        kept_transformer: The transformer that runs at the kept steps; see ``kept_steps``.

    Raises:
        RequestError: fp8 attention is asked of a compiled transformer, or the fused kernels do
            not run on this device.
    """
    if fp8_attention and not is_fused(plan):
        raise RequestError(
            "fp8 attention needs our own kernels",
            cause="here a compiler runs the transformer, or nothing does",
            next_step="use --compiler torch on CUDA, without modes that have Inductor run the "
            "transformer",
        )
    if isinstance(plan, TorchPlan):
        apply_torch(
            pipeline,
            plan,
            fp8_attention=fp8_attention,
            kept_fp8_attention=kept_fp8_attention,
            on_capture=on_capture,
            kept_transformer=kept_transformer,
        )
    elif plan is not None:
        apply_compiler(pipeline, plan, kept_transformer)
