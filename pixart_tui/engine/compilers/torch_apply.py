"""Applying a plan of the compiler ``torch``: flags, memory format, and what compiles what."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from pixart_tui.domain.deploying.compiler_config import Option
from pixart_tui.engine.compilers.inductor import make_positions_contiguous
from pixart_tui.engine.compilers.torch_plan import CUDAGRAPHS_OPTION, TorchPlan
from pixart_tui.engine.memory import is_in_strips, is_streamed
from pixart_tui.engine.typing import Pipeline, Transformer

Call: TypeAlias = Callable[..., Any]
OnCapture: TypeAlias = Callable[[float], None]
Dims: TypeAlias = Mapping[int | str, tuple[int, ...]]
"""Argument, by position or name, to its dimensions that change with the image or the prompt."""

_BLOCK_DIMS: Final[Dims] = {0: (1,), "encoder_hidden_states": (1,), "encoder_attention_mask": (2,)}
_T5_DIMS: Final[Dims] = {0: (1,), 1: (2, 3), 2: (2, 3)}
_DECODER_DIMS: Final[Dims] = {0: (2, 3)}


def apply_torch(
    pipeline: Pipeline,
    plan: TorchPlan,
    *,
    fp8_attention: bool | Collection[str],
    kept_fp8_attention: Collection[str] = (),
    on_capture: OnCapture = lambda _elapsed_s: None,
    kept_transformer: Transformer | None = None,
) -> None:
    """Changes a pipeline in place; what compiles does so at the first call.

    Names and parameters stay as they are; apply memory options and quantize before. A text
    encoder that waits in host memory and a VAE that decodes in strips are not compiled: their
    weights move, or they are kernels already. With the fused kernels they are captured.

    Args:
        pipeline: On the device that the plan was made for.
        plan: What is done.
        fp8_attention: Whether our own kernels multiply self-attention in fp8, or in which blocks.
        kept_fp8_attention: In which blocks of the kept transformer.
        on_capture: Called with each CUDA graph that we capture, and the seconds it took.
        kept_transformer: Another transformer that is compiled likewise.

    Raises:
        RequestError: The fused kernels do not run on this device or in this dtype.
    """
    for name, value in plan.flags.items():
        set_flag(name, value)
    encoder = pipeline.text_encoder  # None where the user brings the embeddings
    if plan.text_encoder == "blocks" and encoder is not None and not is_streamed(encoder):
        for block in encoder.encoder.block:
            _compile(block, plan, _T5_DIMS)
    pipeline.vae.to(memory_format=getattr(torch, plan.memory_format))
    if plan.vae_decoder == "whole" and not is_in_strips(pipeline.vae):
        _compile(pipeline.vae.decoder, plan, _DECODER_DIMS, freezing=plan.freezing)
    if plan.transformer == "fused":
        from pixart_tui.engine.fused import install

        # The VAE decoder's kernels are part of it.
        install(
            pipeline,
            cuda_graphs=plan.cuda_graphs == "own",
            fast_accum=plan.fast_accum,
            fp8_attention=fp8_attention,
            kept_fp8_attention=kept_fp8_attention,
            on_capture=on_capture,
            kept_transformer=kept_transformer,
        )
        return
    for transformer in (pipeline.transformer, kept_transformer):
        if transformer is not None:
            _compile_transformer(transformer, plan)


def _compile_transformer(transformer: Transformer, plan: TorchPlan) -> None:
    if plan.transformer == "whole":
        graphs = {CUDAGRAPHS_OPTION: True} if plan.cuda_graphs == "inductor" else {}
        _compile(transformer, plan, {}, freezing=plan.freezing, more=graphs)
    else:
        for block in transformer.transformer_blocks:
            _compile(block, plan, _BLOCK_DIMS)
        make_positions_contiguous(transformer)


def _compile(
    module: nn.Module,
    plan: TorchPlan,
    dims: Dims,
    *,
    freezing: bool = False,
    more: Mapping[str, Option] | None = None,
) -> None:
    options = {**plan.options, **(more or {})}
    # Not dynamic=True: sizes that happen to be equal would count as one, and a square image
    # would be compiled apart. What may change is marked instead, the rest stays known.
    dynamic = None if plan.dynamic else False
    module.compile(
        backend=plan.backend, dynamic=dynamic, **({"options": options} if options else {})
    )
    call: Any = module._compiled_call_impl
    if freezing:
        call = _frozen(call)
    if plan.dynamic:
        call = _marking(call, dims)
    # Around the compiled call, where a hook of the module would become part of the graph.
    module._compiled_call_impl = call


def _marking(call: Call, dims: Dims) -> Call:
    def marked(*args: Any, **kwargs: Any) -> Any:
        for key, indices in dims.items():
            if isinstance(key, str):
                value = kwargs.get(key)
            else:
                value = args[key] if key < len(args) else None
            if isinstance(value, Tensor):
                torch._dynamo.maybe_mark_dynamic(value, indices)
        return call(*args, **kwargs)

    return marked


def _frozen(call: Call) -> Call:
    """Global, for Dynamo reads it too: as an option of ``torch.compile`` it does nothing."""
    from torch._inductor import config

    def frozen(*args: Any, **kwargs: Any) -> Any:
        with config.patch(freezing=True):
            return call(*args, **kwargs)

    return frozen


def flag(name: str) -> bool:
    """The value of a global flag of ``torch.backends``, by its dotted name."""
    holder, last = _holder(name)
    return bool(getattr(holder, last))


def set_flag(name: str, value: bool) -> None:
    """Sets a global flag of ``torch.backends``."""
    holder, last = _holder(name)
    setattr(holder, last, value)


def _holder(name: str) -> tuple[Any, str]:
    path, _, last = name.rpartition(".")
    holder: Any = torch.backends
    for part in path.split("."):
        holder = getattr(holder, part)
    return holder, last
