"""The stock compilers ``compile`` and ``compile-max-autotune``: what a user gets from torch.

What is compiled depends on the device, and every row records it:

* On CUDA the whole transformer, as OneDiff's script does, and the VAE decoder: CUDA graphs
  (``max-autotune``) want a whole step.
* On a CPU each block by itself: one graph serves all of them, so a cold start compiles one block
  and not eight. The VAE decoder stays eager: its many kernels take longer to compile than
  everything else and save next to nothing.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Final, Literal

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

from pixart_tui.engine.typing import Pipeline, Transformer

_MODES: Final[dict[str, str | None]] = {
    "compile": None,
    "compile-max-autotune": "max-autotune",
}


@dataclass(frozen=True, slots=True)
class CompilePlan:
    """The arguments of ``torch.compile``.

    Attributes:
        mode: Its ``mode``; None for the default.
        transformer: Whether the model is compiled as a whole or block by block.
        vae_decoder: Whether the VAE's decoder is compiled.
        dynamic: Its ``dynamic``; a benchmark has one shape.
    """

    mode: str | None
    transformer: Literal["whole", "blocks"]
    vae_decoder: bool
    dynamic: bool = False

    def to_json(self) -> str:
        """The plan as it stands in a benchmark's row."""
        return json.dumps(asdict(self))


@dataclass(frozen=True, slots=True)
class CacheUse:
    """This process's hits and misses in Inductor's FX graph cache.

    Attributes:
        hits: Graphs that were taken from the cache.
        misses: Graphs that were compiled, those that cannot be cached included.
    """

    hits: int
    misses: int


def compile_plan(compiler: str, device: torch.device) -> CompilePlan | None:
    """Returns the plan of a stock compiler on a device, None for ``none``."""
    if compiler == "none":
        return None
    on_gpu = device.type == "cuda"
    return CompilePlan(_MODES[compiler], "whole" if on_gpu else "blocks", vae_decoder=on_gpu)


def apply_compiler(
    pipeline: Pipeline, plan: CompilePlan, kept_transformer: Transformer | None = None
) -> None:
    """Compiles parts of a pipeline in place; the work is done by the first call.

    Names and attributes of the modules stay as they were, so quantize before.

    Args:
        pipeline: On the device that the plan was made for.
        plan: What is compiled.
        kept_transformer: Another transformer that is compiled likewise.
    """
    transformers = [x for x in (pipeline.transformer, kept_transformer) if x is not None]
    for module in _modules(pipeline, plan, transformers):
        module.compile(mode=plan.mode, dynamic=plan.dynamic)
    if plan.transformer == "blocks":
        for transformer in transformers:
            make_positions_contiguous(transformer)


def make_positions_contiguous(transformer: Transformer) -> None:
    """Copies the position embedding's transposed view, once per step.

    Else the first block would get a graph of its own.
    """
    transformer.pos_embed.register_forward_hook(_contiguous)


def cache_use() -> CacheUse:
    """Counts this process's hits and misses in the FX graph cache so far."""
    found: Counter[str] = counters["inductor"]
    missed = found["fxgraph_cache_miss"] + found["fxgraph_cache_bypass"]
    return CacheUse(hits=found["fxgraph_cache_hit"], misses=missed)


def _modules(
    pipeline: Pipeline, plan: CompilePlan, transformers: Sequence[Transformer]
) -> list[nn.Module]:
    whole = plan.transformer == "whole"
    modules = [module for x in transformers for module in ([x] if whole else x.transformer_blocks)]
    return [*modules, pipeline.vae.decoder] if plan.vae_decoder else modules


def _contiguous(_module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output.contiguous()
