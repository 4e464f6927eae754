"""The rows of a benchmark: which there are, which processes they take, which can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixart_tui.domain import onediff_file
from pixart_tui.domain.benchmark import BenchCase, BenchRow, RowStatus
from pixart_tui.domain.deployment import Compiler, Deployment
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.worker.bench_messages import Described, FiguresFound, Purpose

BASELINE: Final = BenchCase()

_OUTCOME: Final = set(FiguresFound.model_fields) | {"status", "error", "execution_note"}


def wanted_layers(request: BenchRequest) -> tuple[str, ...] | None:
    """The layers that the request's file chooses, None where there is no file.

    Raises:
        RequestError: The file is not there or is not one of onediffx.
    """
    if not request.quantize or request.quant_submodules_config_path is None:
        return None
    path = Path(request.quant_submodules_config_path)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not text"
        raise RequestError(
            f"{path} cannot be read", cause or "", "write one with: pixart-tui select PROFILE"
        ) from error
    return onediff_file.chosen_layers(onediff_file.parse(text, str(path)), request.top_percentage)


def plan_rows(request: BenchRequest, found: Described) -> dict[BenchCase, BenchRow]:
    """Every case with its row, the baseline first, nothing measured."""
    return {case: _row(case, request, found) for case in _cases(request, found)}


def purposes(row: BenchRow) -> tuple[Purpose, ...]:
    """The processes that a row takes, in order."""
    if row.execution == "simulated":
        return (Purpose.QUALITY,)
    return (Purpose.RUN,) if row.compiler == "none" else (Purpose.COMPILE, Purpose.CACHE)


def is_kept(planned: BenchRow, before: BenchRow | None) -> bool:
    """Whether a row of an earlier attempt stands for the one that is planned now."""
    if before is None or before.status is not RowStatus.DONE:
        return False
    return planned.model_dump(exclude=_OUTCOME) == before.model_dump(exclude=_OUTCOME)


def _cases(request: BenchRequest, found: Described) -> Iterator[BenchCase]:
    compilers: tuple[Compiler, ...] = tuple(dict.fromkeys(("none", *request.compilers)))
    for compiler in compilers:
        yield BenchCase(deployment=_deployment(compiler, request))
    if found.quantization is None:
        return
    # The simulation has no speed, and its image does not depend on a compiler.
    simulated = found.quantization.execution == "simulated"
    for compiler in ("none",) if simulated else compilers:
        yield BenchCase(
            deployment=_deployment(compiler, request).model_copy(
                update={
                    "quant_type": request.quant_type,
                    "layers": found.quantization.layers,
                    "fp8_attention": request.fp8_attention and compiler == "torch",
                }
            ),
            selection=_selection(request),
        )


def _deployment(compiler: Compiler, request: BenchRequest) -> Deployment:
    """The compiler as the request wants it; ``none`` stays the stock pipeline."""
    if compiler == "none":
        return Deployment()
    config = request.compiler_config if compiler == "torch" else ""
    return Deployment(compiler=compiler, compiler_config=config, memory=request.memory)


def _selection(request: BenchRequest) -> str:
    if request.quant_submodules_config_path is None:
        return "every layer that the kernels can run"
    name = Path(request.quant_submodules_config_path).name
    return f"{name}, best {request.top_percentage:g}%"


def _row(case: BenchCase, request: BenchRequest, found: Described) -> BenchRow:
    deployment = case.deployment
    quantization = found.quantization if deployment.quant_type is not None else None
    return BenchRow(
        label=case.label,
        model=request.model,
        model_fingerprint=found.model_fingerprint,
        prompt=found.prompt,
        seed=request.seed,
        guidance_scale=found.guidance_scale,
        threads=request.threads,
        height=found.height,
        width=found.width,
        steps=found.steps,
        compiler=deployment.compiler,
        compiler_config=found.compiler_configs.get(deployment.compiler, ""),
        dtype=found.dtype,
        quant_type=deployment.quant_type,
        execution=quantization.execution if quantization else "real",
        execution_note=quantization.note if quantization else "",
        selection=case.selection,
        quantized_layers=len(deployment.layers),
        peak_kind="cuda" if found.machine.device == "cuda" else "process",
    )
