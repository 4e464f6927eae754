"""The rows of a benchmark: which there are, which processes they take, which can be kept."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixart_tui.domain.benchmarks.matrix import matrix_cases, scattered_file, wanted_rows
from pixart_tui.domain.benchmarks.rows import BenchCase, BenchRow, RowCase, RowStatus
from pixart_tui.domain.deploying.deployment import Compiler, Deployment
from pixart_tui.domain.deploying.quantized_layers import choose_layers, refuse_unknown
from pixart_tui.domain.files import layer_file
from pixart_tui.domain.files.layer_file import LayerFile
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.requests import DEFAULT_TOP_PERCENTAGE, BenchRequest
from pixart_tui.domain.selecting import onediff_rule
from pixart_tui.domain.selecting.fusing import refuse_unfusable
from pixart_tui.domain.words import count
from pixart_tui.runs.files import write_atomically
from pixart_tui.worker.bench.messages import Described, ExecutionFound, Purpose

BASELINE: Final = BenchCase()
SCATTERED_FILE: Final = "scattered.json"
NO_COLD_NOTE: Final = "a start with empty caches was not measured (--no-cold)"
WARM_CACHE_NOTE: Final = "a start with empty caches was not measured (--warm-cache)"


def wanted_choice(request: BenchRequest) -> Choice | None:
    """Returns the layers that the request's file chooses, None without a file.

    Raises:
        RequestError: The file is not there, cannot be read, or a compiler or an option does not
            go with it.
    """
    file = _layer_file(request)
    if file is None:
        return None
    file.refuse_compilers(request.compilers)
    return file.choice(request.quant_type, request.top_percentage, request.kept_steps)


def quant_types(request: BenchRequest) -> tuple[str, ...]:
    """The quant types of a request's rows."""
    if request.matrix:
        names = (row.quant_type for row in wanted_rows(request))
        return tuple(dict.fromkeys(name for name in names if name is not None))
    if not request.quantize:
        return ()
    wanted = wanted_choice(request)
    return (request.quant_type,) if wanted is None else wanted.of_layers.quant_types


def plan_rows(request: BenchRequest, found: Described, folder: Path) -> dict[BenchCase, BenchRow]:
    """Every case with its row, the baseline first, nothing measured.

    Args:
        request: What is measured.
        found: What a child said of the model and this machine.
        folder: Where a layer file that a matrix needs is written.

    Raises:
        RequestError: Layers that the model does not have, or nothing to quantize.
    """
    cases = _matrix(request, found, folder) if request.matrix else _cases(request, found)
    return dict(_planned(case, request, found) for case in cases)


def purposes(row: BenchRow, *, cold: bool = True) -> tuple[Purpose, ...]:
    """The processes that a row takes in its first round, in order; the last one is repeated.

    Args:
        row: The row.
        cold: Whether a start with empty caches is measured.
    """
    if row.case.is_simulated:
        return (Purpose.QUALITY,)
    if not row.case.is_compiled:
        return (Purpose.RUN,)
    return (Purpose.COMPILE, Purpose.CACHE) if cold else (Purpose.WARM,)


def is_kept(planned: BenchRow, before: BenchRow | None) -> bool:
    """Whether a row of an earlier attempt stands for the one that is planned now."""
    return before is not None and before.status is RowStatus.DONE and before.case == planned.case


def _layer_file(request: BenchRequest) -> LayerFile | None:
    path = request.quant_submodules_config_path
    return layer_file.read(Path(path)) if request.quantize and path is not None else None


def _matrix(request: BenchRequest, found: Described, folder: Path) -> Iterator[BenchCase]:
    simulated = {name for name, x in found.executions.items() if x.execution == "simulated"}
    scattered = _scattered(found, folder) if found.layers else ()
    on_gpu = found.machine.device == "cuda"
    return matrix_cases(request, found.layers, simulated, scattered, on_gpu=on_gpu)


def _scattered(found: Described, folder: Path) -> tuple[str, ...]:
    """Through a file and its reader, as a user's own layers would come."""
    path = folder / SCATTERED_FILE
    write_atomically(path, scattered_file(found.layers))
    found_layers = layer_file.read(path).ssim_by_fqn
    return onediff_rule.chosen_layers(found_layers, DEFAULT_TOP_PERCENTAGE)


def _cases(request: BenchRequest, found: Described) -> Iterator[BenchCase]:
    compilers: tuple[Compiler, ...] = tuple(dict.fromkeys(("none", *request.compilers)))
    for compiler in compilers:
        yield BenchCase(deployment=_deployment(compiler, request))
    if not request.quantize:
        return
    wanted = wanted_choice(request)
    if wanted is None:
        every = (layer.fqn for layer in found.layers)
        wanted = Choice.of_one(request.quant_type, every, request.kept_steps)
    # The simulation has no speed, and its image does not depend on a compiler.
    attention, wanted = wanted.of_attention, wanted.of_layers
    simulated = _execution(wanted, found).execution == "simulated"
    for compiler in compilers:
        if simulated and compiler not in ("none", "nexfort"):
            continue
        yield BenchCase(
            deployment=_deployment(compiler, request).replace(
                choice=wanted,
                attention=attention if simulated or compiler == "torch" else Choice(),
                fp8_attention=request.fp8_attention and compiler == "torch",
                **(_of_file(request) if compiler == "nexfort" else {}),
            ),
            selection=_selection(request)
            + ("" if simulated or compiler == "torch" else _without_attention(attention)),
        )


def _without_attention(attention: Choice) -> str:
    """Describes the attention that a row leaves out, as its compiler has none in fp8."""
    blocks = len(attention.assignments)
    return f"; fp8 attention of {count(blocks, 'block')} left out: only torch has it" * bool(blocks)


def _of_file(request: BenchRequest) -> dict[str, object]:
    """Returns the file for nexfort, which reads OneDiff's JSON itself."""
    path = request.quant_submodules_config_path
    return {"layer_file": path or "", "top_percentage": request.top_percentage}


def _deployment(compiler: Compiler, request: BenchRequest) -> Deployment:
    """The compiler as the request wants it; ``none`` stays the stock pipeline."""
    if compiler == "none":
        return Deployment()
    config = request.compiler_config if compiler in ("torch", "nexfort") else ""
    return Deployment(compiler=compiler, compiler_config=config, memory=request.memory)


def _selection(request: BenchRequest) -> str:
    file = _layer_file(request)
    if file is None:
        return "every layer that the kernels can run"
    return file.words(request.top_percentage)


def _planned(
    case: BenchCase, request: BenchRequest, found: Described
) -> tuple[BenchCase, BenchRow]:
    """A case with the layers that the kernels can run of those that it wants, and its row."""
    wanted = case.deployment.choice
    if case.selection is None:
        return case, _row(case, request, found)
    wanted.kept_steps.check_leaves_some(found.steps)
    if case.deployment.compiler == "nexfort":
        refuse_unknown(wanted.assignments, [layer.fqn for layer in found.layers])
        execution = ExecutionFound(execution="real", note="quantized by nexfort")
        return case, _row(case, request, found, execution)
    chosen = choose_layers(wanted, found.layers)
    if _is_fused(case, found):
        refuse_unfusable(chosen.choice)
    planned = case.replace(deployment=case.deployment.replace(choice=chosen.choice))
    execution = _execution(chosen.choice, found)
    notes = filter(None, (execution.note, _runner(case, found), chosen.note))
    return planned, _row(planned, request, found, execution.replace(note="; ".join(notes)))


def _execution(choice: Choice, found: Described) -> ExecutionFound:
    """For real where each quant type runs so; a part of a simulation has no speed of its own."""
    each = [found.executions[name] for name in choice.quant_types]
    decisive = [x for x in each if x.execution == "simulated"] or each
    note = "; ".join(dict.fromkeys(x.note for x in decisive))
    return decisive[0].replace(note=note)


def _runner(case: BenchCase, found: Described) -> str:
    """Who multiplies what was quantized, where that is not the library that quantized it."""
    return "multiplied by the fused kernels" if _is_fused(case, found) else ""


def _is_fused(case: BenchCase, found: Described) -> bool:
    plan = found.compiler_configs.get(case.deployment.compiler)
    return plan is not None and json.loads(plan).get("transformer") == "fused"


def _attention(case: BenchCase, found: Described) -> str:
    if case.deployment.fp8_attention:
        return "fused kernels, fp8 self-attention"
    if blocks := len(case.deployment.attention.assignments):
        kernels = "fused kernels" if _is_fused(case, found) else "sdpa"
        return f"{kernels}, fp8 self-attention in {count(blocks, 'block')}"
    return "fused kernels" if _is_fused(case, found) else "sdpa"


_PLAIN: Final = ExecutionFound(execution="real", note="")


def _row(
    case: BenchCase,
    request: BenchRequest,
    found: Described,
    execution: ExecutionFound = _PLAIN,
) -> BenchRow:
    deployment, choice = case.deployment, case.deployment.choice
    types = choice.layers_by_type
    compiled = deployment.compiler != "none"
    planned = RowCase(
        label=case.label,
        model=request.model,
        variant=request.variant,
        lora=request.lora,
        model_fingerprint=found.model_fingerprint,
        prompt=found.prompt,
        prompts=found.prompts,
        rounds=request.rounds,
        seed=request.seed,
        guidance_scale=found.guidance_scale,
        threads=request.threads,
        height=found.height,
        width=found.width,
        steps=found.steps,
        compiler=deployment.compiler,
        compiler_config=found.compiler_configs.get(deployment.compiler, ""),
        dtype=found.dtype,
        execution=execution.execution,
        attention=_attention(case, found),
        memory=deployment.memory.label,
        selection=case.selection,
        quant_type=choice.quant_type,
        quantized_layers=len(choice.assignments),
        layers_by_type=types if len(types) > 1 else {},
        kept_steps=choice.kept_steps,
        layers_at_kept_steps=len(choice.through_kept_steps),
        peak_kind="cuda" if found.machine.device == "cuda" else "process",
        warmup_note=_warmup_note(request) if compiled else "",
    )
    return BenchRow(case=planned, execution_note=execution.note)


def _warmup_note(request: BenchRequest) -> str:
    if request.warm_cache:
        return WARM_CACHE_NOTE
    return "" if request.cold else NO_COLD_NOTE
