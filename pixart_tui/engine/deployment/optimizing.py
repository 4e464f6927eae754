"""Deploys a pipeline that a user built, in place, and gives it back as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Final, NoReturn

import torch

from pixart_tui.domain.benchmarks.warmup import Warmup, describe_finished
from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.compilers.plans import our_plan_for
from pixart_tui.engine.compilers.progress import WarmupProgress, following
from pixart_tui.engine.compilers.torch_apply import flag, set_flag
from pixart_tui.engine.compilers.torch_plan import TorchPlan
from pixart_tui.engine.deployment import deploy
from pixart_tui.engine.deployment.snapshot import PipelineSnapshot
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.typing import Pipeline

Tell = Callable[[str], None]

_STATE: Final = "_pixart_tui_optimization"
_REFUSED: Final = (
    "enable_model_cpu_offload",
    "enable_sequential_cpu_offload",
    "enable_group_offload",
    "enable_attention_slicing",
    "enable_xformers_memory_efficient_attention",
    "load_lora_weights",
    "save_pretrained",
    "push_to_hub",
)
"""Methods of a pipeline that would undo what was done to it, or not see it."""


@dataclass
class Optimization:
    """The record of what was done to a pipeline.

    Attributes:
        deployment: What was done.
        kind: The pipeline's own class.
        snapshot: Its state before; None where it was not kept.
        flags: Global flags of torch before.
        progress: The warm-up; None once the first call has ended.
    """

    deployment: Deployment
    kind: type[Any]
    snapshot: PipelineSnapshot | None
    flags: Mapping[str, bool]
    progress: WarmupProgress | None


def is_optimized(pipeline: Pipeline) -> bool:
    """Whether :func:`optimize_pipeline` changed a pipeline."""
    return _STATE in pipeline.__dict__


def optimize_pipeline(
    pipeline: Pipeline,
    deployment: Deployment,
    execution: Execution | None,
    device: torch.device,
    *,
    restorable: bool,
    tell: Tell,
) -> None:
    """Deploys a pipeline in place; its first call compiles, and tells of it.

    Args:
        pipeline: One that can be deployed; see ``fitness.refuse_unfit``.
        deployment: What is done to it.
        execution: How the quantized layers are computed; None where none are.
        device: Where the pipeline is.
        restorable: Whether its state is kept for :func:`restore_pipeline`.
        tell: Takes sentences: what is kept, and what the first call has compiled.

    Raises:
        RequestError: A layer, a compiler or an option that this pipeline or device cannot take;
            the pipeline is then as before if it is restorable.
    """
    snapshot = PipelineSnapshot.take(pipeline) if restorable else None
    progress = WarmupProgress(
        lambda warmup: _tell_finished(warmup, tell), cached=True, estimates={}
    )
    flags = _flags_of(deployment, device)

    def on_capture(elapsed_s: float) -> None:
        progress.add("CUDA graphs", compiled=1, elapsed_s=elapsed_s)

    try:
        deploy(pipeline, deployment, execution, device, on_capture)
    except BaseException:
        _put_back(pipeline, snapshot, flags)
        raise
    if snapshot is not None:
        snapshot.release(pipeline)
        tell(f"{snapshot.size_bytes / 2**30:.2f} GiB of host memory keep the pipeline as it was")
    state = Optimization(deployment, type(pipeline), snapshot, flags, progress)
    pipeline.__dict__[_STATE] = state
    pipeline.__class__ = _optimized_class(state.kind)
    _free(device)


def restore_pipeline(pipeline: Pipeline) -> None:
    """Gives a pipeline its own modules, weights and methods back.

    Raises:
        RequestError: It is not optimized, or its state was not kept.
    """
    state: Optimization | None = pipeline.__dict__.get(_STATE)
    if state is None:
        raise RequestError(
            "this pipeline is not optimized", next_step="there is nothing to restore"
        )
    if state.snapshot is None:
        raise RequestError(
            "this pipeline cannot be restored",
            cause="it was optimized with restorable=False, which keeps no copy of its weights",
            next_step="load it once more",
        )
    pipeline.__class__ = state.kind
    scheduler = pipeline.scheduler
    _put_back(pipeline, state.snapshot, state.flags)
    pipeline.scheduler = scheduler  # it is the user's: another may have been set since
    _free(pipeline.device)


def _put_back(
    pipeline: Pipeline, snapshot: PipelineSnapshot | None, flags: Mapping[str, bool]
) -> None:
    if snapshot is not None:
        snapshot.restore(pipeline)
    for name, value in flags.items():
        set_flag(name, value)


def _optimized_class(kind: type[Any]) -> type[Any]:
    """A pipeline's own class, but for what cannot be done while it is optimized."""

    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        state: Optimization = self.__dict__[_STATE]
        progress, state.progress = state.progress, None
        with following(self, progress) if progress is not None else nullcontext():
            found = kind.__call__(self, *args, **kwargs)
        if progress is not None:
            progress.finish()
        return found

    def move(self: Any, *args: Any, **kwargs: Any) -> Any:
        device, dtype = self.device, self.dtype
        wanted = [*args, *kwargs.values()]
        if all(x is None or x in (device, dtype, str(device), device.type) for x in wanted):
            return self
        return _refused("to")(self)

    methods = {name: _refused(name) for name in _REFUSED if hasattr(kind, name)}
    body = {"__call__": call, "to": move, "__module__": kind.__module__, **methods}
    return type(kind.__name__, (kind,), body)


def _refused(name: str) -> Callable[..., NoReturn]:
    def refuse(self: Any, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise RequestError(
            f"an optimized pipeline cannot do {name}",
            cause="its weights are quantized, packed or captured",
            next_step="call pixart_tui.restore(pipe), then that, then optimize again",
        )

    return refuse


def _tell_finished(warmup: Warmup, tell: Tell) -> None:
    if warmup.finished:
        for line in describe_finished(warmup.regions):
            tell(f"first call: {line}")


def _flags_of(deployment: Deployment, device: torch.device) -> dict[str, bool]:
    """The global flags that a deployment will set, with their values of now."""
    plan = our_plan_for(deployment.compiler, deployment.compiler_config, device)
    return {name: flag(name) for name in plan.flags} if isinstance(plan, TorchPlan) else {}


def _free(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
