"""Optimizing a pipeline that the user built, in place."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import torch

from pixart_tui.domain.deploying.deployment import (
    COMPILERS,
    ONEDIFF_BACKENDS,
    Compiler,
    Deployment,
)
from pixart_tui.domain.deploying.quantized_layers import choose_layers
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import layer_file
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import ExecutionName, parse_quant_type
from pixart_tui.domain.layers.steps import KeptSteps, parse_numbers
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE, DEFAULT_TOP_PERCENTAGE
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.engine.compilers.plans import is_fused, our_plan_for
from pixart_tui.engine.deployment.fitness import refuse_unfit
from pixart_tui.engine.deployment.optimizing import (
    Tell,
    is_optimized,
    optimize_pipeline,
    restore_pipeline,
)
from pixart_tui.engine.layers import list_layers
from pixart_tui.engine.loading.loaded import CallDefaults, family_of, stock_defaults
from pixart_tui.engine.memory import settle_budget
from pixart_tui.engine.quant.execution import Execution, plan_choice
from pixart_tui.engine.typing import Pipeline
from pixart_tui.library.selecting import refuse_other_type
from pixart_tui.runs.results.profile_files import read_selection_file

_COMPILED: Final = '{"mode": "jit"}'


def _to_stderr(text: str) -> None:
    print(f"pixart-tui: {text}", file=sys.stderr)  # noqa: T201 - a library's default narration


def optimize(
    pipeline: Pipeline,
    *,
    selection: Selection | str | Path | None = None,
    quant_type: str | None = None,
    top_percentage: float | None = None,
    compiler: Compiler = "torch",
    compiler_config: str = "",
    fp8_attention: bool = False,
    keep_steps: str | KeptSteps = "",
    memory_budget: float | None = None,
    execution: ExecutionName = "real",
    restorable: bool = True,
    tell: Tell = _to_stderr,
) -> Pipeline:
    """Makes a pipeline that was loaded with diffusers faster and smaller, in place.

    It is called as before, and it is deployed exactly as ``pixart-tui bench`` measures it. The
    first call of each image size compiles or captures what is missing.

    Args:
        pipeline: A PixArt pipeline on one device, in one dtype.
        selection: The layers to quantize: what :func:`select` gives, the file that
            ``pixart-tui select`` writes, or the JSON of a profile; None for all layers if there
            is a ``quant_type``, else for none.
        quant_type: The quant type where the selection does not say it.
        top_percentage: The share of the layers of OneDiff's JSON, by count; None for all layers
            of a selection that ``pixart-tui select`` wrote, and 90 of other files.
        compiler: ``torch`` has our own kernels on a GPU.
        compiler_config: Its settings as JSON text; empty for the defaults.
        fp8_attention: Whether self-attention multiplies in fp8 in all blocks.
        keep_steps: Denoising steps without quantization, from 1: ``"9-13,20"``.
        memory_budget: GiB that a call may take; it chooses what to do for that.
        execution: ``simulated`` computes the reference numerics, for images without the speed.
        restorable: Whether the weights are kept in host memory for :func:`restore`.
        tell: Takes what there is to say, in sentences; standard error by default.

    Returns:
        The same pipeline.

    Raises:
        RequestError: The pipeline, the selection, the device or the options do not go together;
            the pipeline is untouched, unless it is not restorable and its compiler refused it.
        WorkError: The host has too little memory.
    """
    if is_optimized(pipeline):
        raise RequestError(
            "this pipeline is optimized already",
            cause="its weights are quantized, packed or captured",
            next_step="call pixart_tui.restore(pipe) before",
        )
    device = refuse_unfit(pipeline)
    _refuse_compiler(compiler, execution)
    usual = stock_defaults(pipeline, family_of(pipeline))
    layers = _layers(pipeline, usual)
    wanted = _wanted(selection, quant_type, top_percentage, _kept(keep_steps), layers)
    choice, note = Choice(), ""
    if wanted.of_layers.assignments:
        chosen = choose_layers(wanted.of_layers, layers)
        choice, note = chosen.choice, chosen.note
    deployment = Deployment(
        compiler=compiler,
        compiler_config=_config(pipeline, compiler, compiler_config, device, tell),
        choice=choice,
        attention=wanted.of_attention,
        fp8_attention=fp8_attention,
    )
    how = plan_choice(choice, device) if choice.assignments else None
    if how is not None and execution == "real" and how.execution is not Execution.REAL:
        raise RequestError(
            f"{choice.quant_type} does not run with its real kernel on {device}",
            cause=how.reason,
            next_step='pass execution="simulated", compiler="none" for its images, without speed',
        )
    if memory_budget is not None:
        deployment = _within(pipeline, deployment, memory_budget, usual, tell)
    if note:
        tell(note)
    ran = None if how is None else Execution(execution)
    optimize_pipeline(pipeline, deployment, ran, device, restorable=restorable, tell=tell)
    return pipeline


def restore(pipeline: Pipeline) -> Pipeline:
    """Gives an optimized pipeline its own weights, modules and methods back.

    Raises:
        RequestError: It is not optimized, or was optimized with ``restorable=False``.
    """
    restore_pipeline(pipeline)
    return pipeline


def _refuse_compiler(compiler: Compiler, execution: ExecutionName) -> None:
    if compiler in ONEDIFF_BACKENDS:
        raise RequestError(
            f"optimize does not run {compiler}",
            cause="OneDiff changes a pipeline in ways that cannot be taken back",
            next_step="call onediffx yourself, or use pixart-tui generate and bench",
        )
    if compiler not in COMPILERS:
        raise RequestError(
            f"there is no compiler {compiler!r}", next_step=f"choose among {', '.join(COMPILERS)}"
        )
    if execution == "simulated" and compiler != "none":
        raise RequestError(
            "a simulation is not compiled",
            cause="it has no speed, and its images do not depend on a compiler",
            next_step='pass compiler="none"',
        )


def _config(
    pipeline: Pipeline, compiler: Compiler, config: str, device: torch.device, tell: Tell
) -> str:
    """The compiler's settings: those that were asked for, unless PAG needs others.

    PAG sets other attention processors for each call, which the fused kernels do not see.
    """
    fused = is_fused(our_plan_for(compiler, config, device))
    if not fused or not hasattr(pipeline, "pag_attn_processors"):
        return config
    if config:
        raise RequestError(
            "the fused kernels do not run perturbed attention guidance",
            cause=f"{type(pipeline).__name__} sets attention processors of its own at each call",
            next_step=f"leave compiler_config out, or pass {_COMPILED}",
        )
    tell(
        "perturbed attention guidance has attention of its own: torch.compile runs the "
        "transformer's blocks in place of the fused kernels"
    )
    return _COMPILED


def _kept(steps: str | KeptSteps) -> KeptSteps:
    if isinstance(steps, KeptSteps):
        return steps
    return KeptSteps(numbers=parse_numbers(steps)) if steps else KeptSteps()


def _layers(pipeline: Pipeline, usual: CallDefaults) -> tuple[Layer, ...]:
    return list_layers(
        pipeline,
        height=usual.height,
        width=usual.width,
        text_tokens=usual.max_sequence_length,
    )


def _wanted(
    selection: Selection | str | Path | None,
    quant_type: str | None,
    top_percentage: float | None,
    kept: KeptSteps,
    layers: Sequence[Layer],
) -> Choice:
    """The layers to quantize, before the kernels' rules."""
    named = None if quant_type is None else parse_quant_type(quant_type).name
    if selection is None:
        if named is None and kept:
            raise RequestError(
                "no step is kept where nothing is quantized",
                next_step="give a selection or a quant_type",
            )
        return Choice() if named is None else Choice.of_one(named, (x.fqn for x in layers), kept)
    if isinstance(selection, Selection):
        own = selection.choice
        refuse_other_type(named, own)
        if kept and own.kept_steps:
            raise RequestError(
                "the selection says itself which steps are kept",
                cause=f"it keeps {own.kept_steps.words}",
                next_step="leave keep_steps out",
            )
        return own.replace(kept_steps=kept) if kept else own
    file = layer_file.read(Path(selection))
    if file.mixed is not None:
        refuse_other_type(named, file.mixed)
    record = read_selection_file(Path(selection))
    if record is not None and record.selection.quant_type:
        refuse_other_type(named, record.selection.choice)
        named = record.selection.quant_type
    usual = DEFAULT_TOP_PERCENTAGE if record is None else record.use_with_top_percentage or 100
    return file.choice(
        named or DEFAULT_QUANT_TYPE, usual if top_percentage is None else top_percentage, kept
    )


def _within(
    pipeline: Pipeline,
    deployment: Deployment,
    budget_gib: float,
    usual: CallDefaults,
    tell: Tell,
) -> Deployment:
    """The deployment with what a memory budget chooses for an image of the usual size."""
    if getattr(pipeline, "text_encoder", None) is None:
        raise RequestError(
            "a memory budget needs the text encoder",
            cause="this pipeline was loaded without one",
            next_step="leave memory_budget out: the text encoder is what it makes smaller",
        )
    settled = settle_budget(
        pipeline,
        deployment,
        int(budget_gib * 2**30),
        height=usual.height,
        width=usual.width,
        text_tokens=usual.max_sequence_length,
        guidance=True,
    )
    chosen = settled.options.label or "nothing"
    tell(
        f"a budget of {budget_gib:g} GiB: {chosen}, by an estimate of "
        f"{settled.peak_bytes / 2**30:.2f} GiB for {usual.width}x{usual.height}"
    )
    return deployment.replace(memory=settled.options)
