"""OneDiff's own back-ends, through ``onediff`` and ``onediffx``, called as its script does.

What is quantized there is quantized by nexfort, from the user's layer file itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from pixart_tui.domain.deploying.deployment import Deployment, MemoryOptions, OnediffBackend
from pixart_tui.domain.deploying.onediff_backends import (
    NEXFORT_CONFIG,
    not_installed,
    oneflow_does_not_quantize,
    require_backend,
)
from pixart_tui.domain.errors import PixartTuiError, RequestError, WorkError, first_line
from pixart_tui.engine.typing import Pipeline


@dataclass(frozen=True, slots=True)
class OnediffPlan:
    """The request to OneDiff.

    Attributes:
        backend: Which back-end compiles.
        options: What nexfort is given, as JSON text; empty for oneflow, which is given nothing.
    """

    backend: OnediffBackend
    options: str = ""

    def to_json(self) -> str:
        """The plan as it stands in a benchmark's row."""
        return json.dumps(asdict(self))


def onediff_plan(backend: OnediffBackend, config: str) -> OnediffPlan:
    """Builds the request to a back-end.

    Args:
        backend: Which one.
        config: nexfort's configuration, as JSON text; empty for that of OneDiff's script.
    """
    return OnediffPlan(backend, (config or NEXFORT_CONFIG) if backend == "nexfort" else "")


def deploy_onediff(pipeline: Pipeline, deployment: Deployment, plan: OnediffPlan) -> None:
    """Quantizes and compiles a pipeline in place; what compiles does so at the first call.

    Args:
        pipeline: As it was loaded.
        deployment: What is done to it.
        plan: The deployment's compiler.

    Raises:
        RequestError: The back-end is not installed, or something is asked that it does not do.
        WorkError: The back-end failed.
    """
    require_backend(plan.backend)
    _refuse_ours(deployment)
    with _explained(plan.backend):
        if deployment.choice.assignments:
            _quantize(pipeline, deployment)
        if plan.backend == "nexfort":
            _compile_with_nexfort(pipeline, plan)
        else:
            _compile_with_oneflow(pipeline)


def oneflow_used_bytes() -> int:
    """CUDA memory that oneflow holds, in the way OneDiff's script asks for it."""
    import oneflow

    return int(oneflow._oneflow_internal.GetCUDAMemoryUsed()) * 2**20


def _quantize(pipeline: Pipeline, deployment: Deployment) -> None:
    from onediffx import quantize_pipe

    file = {
        "quant_submodules_config_path": deployment.layer_file,
        "top_percentage": deployment.top_percentage,
    }
    quantize_pipe(
        pipeline,
        ignores=[],
        quant_type=deployment.choice.quant_type,
        **(file if deployment.layer_file else {}),
    )


def _compile_with_nexfort(pipeline: Pipeline, plan: OnediffPlan) -> None:
    from onediffx import compile_pipe

    options = json.loads(plan.options)
    compile_pipe(pipeline, backend="nexfort", options=options, fuse_qkv_projections=True)


def _compile_with_oneflow(pipeline: Pipeline) -> None:
    """Not ``compile_pipe``: OneDiff's script says that it does not go with T5."""
    from onediff.infer_compiler import oneflow_compile

    pipeline.transformer = oneflow_compile(pipeline.transformer)
    pipeline.vae.decoder = oneflow_compile(pipeline.vae.decoder)


def _refuse_ours(deployment: Deployment) -> None:
    """Refuses settings that only our own compilers have."""
    if deployment.compiler == "oneflow" and deployment.choice.assignments:
        raise oneflow_does_not_quantize()
    ours = (
        (bool(deployment.choice.kept_steps), "--keep-steps and the like"),
        (len(deployment.choice.quant_types) > 1, "several quant types"),
        (deployment.memory != MemoryOptions(), "the memory options"),
        (deployment.fp8_attention, "--fp8-attention"),
    )
    for asked, what in ours:
        if asked:
            raise RequestError(
                f"{what} cannot go with --compiler {deployment.compiler}",
                cause="OneDiff's back-end has no such thing",
                next_step="leave it out, or use --compiler torch",
            )


@contextmanager
def _explained(backend: OnediffBackend) -> Iterator[None]:
    try:
        yield
    except PixartTuiError:
        raise
    except ImportError as error:
        raise not_installed(backend, f"importing it failed ({first_line(error)})") from error
    except Exception as error:
        raise WorkError(
            f"{backend} failed on this pipeline",
            cause=f"{type(error).__name__}: {first_line(error)}",
            next_step="read the run's log; --compiler torch needs no back-end",
        ) from error
