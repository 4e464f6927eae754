"""Plans the work of the compiler ``torch`` on a device, before anything is changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Final, Literal

import torch

from pixart_tui.domain.deploying.compiler_config import (
    CompilerConfig,
    CudaGraphs,
    Executor,
    MemoryFormat,
    Option,
    ResolvedModes,
    resolve_modes,
)

CUDAGRAPHS_OPTION: Final = "triton.cudagraphs"

_LOW_PRECISION_FLAGS: Final = (
    "cuda.matmul.allow_tf32",
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cudnn.allow_tf32",
)
_BENCHMARK_FLAG: Final = "cudnn.benchmark"
FLAGS: Final = (*_LOW_PRECISION_FLAGS, _BENCHMARK_FLAG)
"""Every global flag of ``torch.backends`` that a plan may set."""
_GPU_OPTIONS: Final = ("coordinate_descent_tuning", "use_fast_math", "force_fuse_int_mm_with_mul")
_WITHOUT_GPU: Final[Mapping[str, str]] = {
    "max-optimize": "its measured choices are of GPU kernels",
    "cudagraphs": "CUDA graphs need a GPU",
    "inductor-cudagraphs": "CUDA graphs need a GPU",
    "low-precision": "TF32 and half-precision sums are those of a GPU",
    "benchmark": "it is cuDNN's",
    "fast-accum": "it is that of a GPU's fp8 kernels",
    "quant": "the fusion is one of GPU kernels",
}


@dataclass(frozen=True, slots=True)
class TorchPlan:
    """The changes to a pipeline.

    Attributes:
        mode: The modes, joined by colons.
        memory_format: How the VAE's weights lie in memory.
        dynamic: Whether one compilation serves every image size.
        transformer: What runs the transformer.
        text_encoder: What runs the text encoder: a compiler, block by block, or a CUDA graph of
            it as it is, which needs no compiling and leaves the reading of its weights.
        vae_decoder: What runs the VAE decoder: our own kernels together with the transformer's,
            or a compiler.
        backend: What compiles, a ``torch.compile`` backend.
        cuda_graphs: Who captures CUDA graphs.
        freezing: Whether the weights of what is compiled whole become constants of its code.
        fast_accum: Whether the fused kernels accumulate fp8 products with less precision.
        options: Options of Inductor.
        flags: Global flags of ``torch.backends`` that are set for the whole process.
        notes: What a mode does not do here, in sentences for the user.
    """

    mode: str
    memory_format: MemoryFormat
    dynamic: bool
    transformer: Executor
    text_encoder: Literal["blocks", "graph"]
    vae_decoder: Literal["fused", "whole"]
    backend: Literal["inductor", "aot_eager"]
    cuda_graphs: CudaGraphs
    freezing: bool
    fast_accum: bool
    options: Mapping[str, Option] = field(default_factory=dict)
    flags: Mapping[str, bool] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def to_json(self) -> str:
        """The plan as it stands in a benchmark's row."""
        return json.dumps(asdict(self))


def torch_plan(config: CompilerConfig, device: torch.device) -> TorchPlan:
    """Returns the plan of a configuration on a device."""
    modes = resolve_modes(config.modes)
    on_gpu = device.type == "cuda"
    transformer = _executor(modes, on_gpu, config.dynamic)
    graphs = _cuda_graphs(modes, on_gpu, transformer)
    return TorchPlan(
        mode=config.mode,
        memory_format=config.memory_format,
        dynamic=config.dynamic,
        transformer=transformer,
        text_encoder="graph" if transformer == "fused" and graphs == "own" else "blocks",
        vae_decoder="fused" if transformer == "fused" else "whole",
        backend=modes.backend,
        cuda_graphs=graphs,
        freezing=modes.freezing and modes.backend == "inductor" and transformer != "fused",
        # As torchao's linears do, whatever the mode; the others take no wish.
        fast_accum=on_gpu,
        options=_options(modes, on_gpu),
        flags=_flags(modes) if on_gpu else {},
        notes=tuple(_notes(config, modes, on_gpu, transformer, graphs)),
    )


def _executor(modes: ResolvedModes, on_gpu: bool, dynamic: bool) -> Executor:
    if not on_gpu:
        return "blocks"
    # The position embedding of a whole transformer would be compiled for each image size.
    return "blocks" if modes.transformer == "whole" and dynamic else modes.transformer


def _cuda_graphs(modes: ResolvedModes, on_gpu: bool, transformer: Executor) -> CudaGraphs:
    """A graph of each block would see the output of the one before overwritten."""
    if not on_gpu or modes.cuda_graphs == "none" or transformer == "blocks":
        return "none"
    return "own" if transformer == "fused" else "inductor"


def _options(modes: ResolvedModes, on_gpu: bool) -> dict[str, Option]:
    if modes.backend != "inductor":
        return {}
    if on_gpu:
        return dict(modes.inductor)
    return {
        name: value
        for name, value in modes.inductor.items()
        if name not in _GPU_OPTIONS and not name.startswith("triton.")
    }


def _flags(modes: ResolvedModes) -> dict[str, bool]:
    names = _LOW_PRECISION_FLAGS if modes.low_precision else ()
    return dict.fromkeys((*names, _BENCHMARK_FLAG) if modes.cudnn_benchmark else names, True)


def _notes(
    config: CompilerConfig,
    modes: ResolvedModes,
    on_gpu: bool,
    transformer: Executor,
    graphs: CudaGraphs,
) -> Iterator[str]:
    if not on_gpu:
        yield from _cpu_notes(config)
    elif transformer == "fused":
        yield from _fused_notes(config, modes, graphs)
    else:
        yield from _compiled_notes(modes, transformer, graphs)
    if modes.freezing:
        yield _freezing_note(modes, transformer)
    if modes.backend != "inductor" and modes.inductor:
        yield f"disable-inductor: {', '.join(modes.inductor)} have no effect"


def _cpu_notes(config: CompilerConfig) -> Iterator[str]:
    for mode in dict.fromkeys(config.modes):
        if mode in _WITHOUT_GPU:
            yield f"{mode} has no effect on a CPU: {_WITHOUT_GPU[mode]}"
    if "cpp-wrapper" in config.modes:
        yield "cpp-wrapper: on a CPU the transformer is compiled by blocks all the same"


def _fused_notes(config: CompilerConfig, modes: ResolvedModes, graphs: CudaGraphs) -> Iterator[str]:
    if modes.inductor:
        names = ", ".join(modes.inductor)
        left = "act on nothing" if graphs == "own" else "act on the text encoder alone"
        yield f"our kernels run transformer and VAE decoder: {names} {left}"
    if graphs == "none":
        yield "without cudagraphs the launches of a step take longer than its kernels"
    if config.memory_format != "channels_last":
        yield "memory_format: our kernels want the VAE in channels_last"
    if config.dynamic and graphs != "none":
        yield "dynamic: nothing is compiled again, but each image size is captured once"


def _compiled_notes(
    modes: ResolvedModes, transformer: Executor, graphs: CudaGraphs
) -> Iterator[str]:
    if modes.cuda_graphs != "none" and graphs == "none":
        yield "CUDA graphs have no effect: the transformer is compiled by blocks"
    elif modes.cuda_graphs == "own":
        yield "cudagraphs: Inductor captures them, our own capture is that of the fused kernels"
    if modes.fast_accum:
        yield "fast-accum has no effect: torchao's fp8 linears accumulate fast in any case"
    if modes.transformer != transformer:
        yield "dynamic: the transformer is compiled by blocks, for it to serve every image size"


def _freezing_note(modes: ResolvedModes, transformer: Executor) -> str:
    if modes.backend != "inductor":
        return "freezing has no effect: it is Inductor's"
    if transformer == "fused":
        return "freezing has no effect: Inductor has the text encoder's blocks at most"
    parts = "transformer and VAE decoder" if transformer == "whole" else "the VAE decoder alone"
    return f"freezing acts on {parts}: each block would need code of its own"
