"""The rows of ``bench --matrix onediff``: those of OneDiff's PixArt report, and what is ours alone.

The report (SiliconFlow, onediff, ``onediff_diffusers_extensions/examples/pixart_alpha/README.md``)
has one table per GPU for its compiler and one for its quant types. A row here that does what a row
there does carries the gains that were published for it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from pixart_tui.domain.benchmarks.rows import BenchCase
from pixart_tui.domain.deploying.deployment import Compiler, Deployment, MemoryOptions
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.steps import NO_STEPS
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE, DEFAULT_TOP_PERCENTAGE, BenchRequest

PUBLISHED_ON: Final = "OneDiff, H800, 2024-05-29"
"""The machine and date of the published figures."""

BEST_CONFIG: Final = json.dumps(
    {
        "mode": "max-optimize:max-autotune:freezing:benchmark:low-precision:cudagraphs",
        "memory_format": "channels_last",
    }
)
"""The compiler configuration that the report names for the best performance."""

MATRIX_MEMORY: Final = MemoryOptions(budget_bytes=6 * 2**30)
"""The budget of the memory row by default."""

PAYING_ROWS: Final = 1024
PAYING_FEATURES: Final = 64

_GOLDEN: Final = 0.6180339887498949
_FP8: Final = DEFAULT_QUANT_TYPE
_FP8_TENSOR: Final = "fp8_e4m3_e4m3_dynamic_per_tensor"

Which = Literal["all", "pays", "scattered"]


@dataclass(frozen=True, slots=True)
class Published:
    """Gains over the eager pipeline that the report prints.

    Attributes:
        iteration_speed: Change in per cent.
        e2e_time: Change in per cent.
        peak_gib: Maximum CUDA memory in GiB.
    """

    iteration_speed: float
    e2e_time: float
    peak_gib: float


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One row.

    Attributes:
        name: Its label.
        summary: What it is, in a few words.
        compiler: The compiler.
        quant_type: The quant type, None where nothing is quantized.
        which: The layers that are quantized.
        fp8_attention: Whether self-attention multiplies in fp8.
        memory: Whether memory is saved.
        speed_only: Whether a simulation of it would only repeat another row's image.
        published: What the report prints for the same, if it does.
    """

    name: str
    summary: str
    compiler: Compiler
    quant_type: str | None = None
    which: Which = "pays"
    fp8_attention: bool = False
    memory: bool = False
    speed_only: bool = False
    published: Published | None = None


_TORCH: Final = MatrixRow(
    "torch",
    "our compiler, nothing quantized",
    "torch",
    published=Published(16.4, -21.5, 13.970),
)
_TORCH_FP8: Final = replace(
    _TORCH,
    name="torch-fp8",
    summary="our compiler, fp8 on the layers that pay",
    quant_type=_FP8,
    published=Published(21.8, -25.2, 13.400),
)

MATRIX: Final[tuple[MatrixRow, ...]] = (
    MatrixRow("none", "the stock pipeline, eager", "none"),
    MatrixRow("compile", "torch.compile with its defaults", "compile"),
    MatrixRow(
        "stock-best",
        "torch.compile max-autotune, torchao's fp8 per tensor on every layer that it takes",
        "compile-max-autotune",
        quant_type=_FP8_TENSOR,
        which="all",
        speed_only=True,
    ),
    _TORCH,
    _TORCH_FP8,
    replace(
        _TORCH_FP8,
        name="torch-fp8-90",
        summary="torch-fp8 with 10% of the block layers kept, by a layer file",
        which="scattered",
        published=None,
    ),
    replace(
        _TORCH_FP8,
        name="torch-fp8-attention",
        summary="torch-fp8 and fp8 self-attention",
        fp8_attention=True,
        published=None,
    ),
    replace(
        _TORCH_FP8,
        name="torch-fp8-tensor",
        summary="torch-fp8 with one scale per tensor",
        quant_type=_FP8_TENSOR,
        published=Published(20.2, -24.3, 13.396),
    ),
    replace(
        _TORCH_FP8,
        name="torch-int8",
        summary="our compiler, int8 on the layers that pay",
        quant_type="int8_dynamic",
        published=Published(20.5, -24.5, 13.367),
    ),
    replace(
        _TORCH_FP8,
        name="torch-fp8-memory",
        summary="torch-fp8 in little GPU memory",
        memory=True,
        speed_only=True,
        published=None,
    ),
)

PUBLISHED: Final[Mapping[str, Published]] = {
    row.name: row.published for row in MATRIX if row.published is not None
}
"""Row name to what the report prints for it."""


def speeds_up(layer: Layer) -> bool:
    """Whether quantizing this layer can make it faster at all.

    adaLN, the timestep and caption embedders and the keys and values of cross-attention see a few
    rows or a few hundred: reading the weight is all their work, and quantizing the activation is
    one more kernel. A narrow output (``proj_out``, N = 32) leaves the tensor cores idle. The rest
    multiplies thousands of rows by wide weights. A rule by shape; measured latency goes before it
    where there is any.
    """
    return layer.rows >= PAYING_ROWS and layer.out_features >= PAYING_FEATURES


def scattered_file(layers: Sequence[Layer]) -> str:
    """An onediffx JSON of the block layers that pay, its order spread over blocks and kinds.

    The numbers under ``ssim`` were not measured: they are the golden-ratio sequence, which puts
    any share of the layers evenly among the others, so that a ``top_percentage`` of 90 keeps every
    tenth one or so, of each kind and all over the model.
    """
    in_blocks = [layer for layer in layers if layer.block is not None]
    chosen = [layer for layer in in_blocks if speeds_up(layer)] or in_blocks
    return onediff_file.render(
        {layer.fqn: (index * _GOLDEN) % 1.0 for index, layer in enumerate(chosen)}
    )


def torch_config(request: BenchRequest, *, on_gpu: bool) -> str:
    """Returns the settings of the compiler ``torch`` in a request's rows, as JSON text.

    A matrix has the report's best mode on a GPU; on a CPU, where most of it means nothing, the
    compiler's defaults.
    """
    if not request.matrix:
        return request.compiler_config
    return BEST_CONFIG if on_gpu else ""


def config_of(request: BenchRequest, compiler: Compiler, *, on_gpu: bool) -> str:
    """Returns the settings of a compiler in a request's rows, as JSON; empty for defaults."""
    if compiler == "torch":
        return torch_config(request, on_gpu=on_gpu)
    return request.compiler_config if compiler == "nexfort" else ""


def wanted_rows(request: BenchRequest) -> tuple[MatrixRow, ...]:
    """The matrix's rows that a request asks for, in the matrix's order, the baseline among them.

    Raises:
        RequestError: It names a row that the matrix does not have.
    """
    known = {row.name: row for row in MATRIX}
    unknown = [name for name in request.rows if name not in known]
    if unknown:
        raise RequestError(
            f"the matrix has no row {unknown[0]!r}",
            cause=f"its rows are {', '.join(known)}",
            next_step="list them with: pixart-tui bench --matrix onediff --list-rows",
        )
    asked = {MATRIX[0].name, *(request.rows or known)}
    return tuple(row for row in MATRIX if row.name in asked)


def matrix_cases(
    request: BenchRequest,
    layers: Sequence[Layer],
    simulated: Collection[str],
    scattered: Sequence[str],
    *,
    on_gpu: bool,
) -> Iterator[BenchCase]:
    """The cases of the rows that a request asks for and that a device has.

    Args:
        request: Which rows, and the memory options.
        layers: The model's layers.
        simulated: Quant types that the device does not run for real. Their rows show an image and
            no speed, so that a compiler, fp8 attention and memory have no place in them.
        scattered: The layers that :func:`scattered_file` gives at a ``top_percentage`` of 90.
        on_gpu: Whether the device is a GPU.
    """
    for row in wanted_rows(request):
        is_simulated = row.quant_type in simulated
        needs_gpu = row.fp8_attention or row.speed_only
        if needs_gpu and (is_simulated or not on_gpu):
            continue
        case = _case(row, request, layers, scattered, on_gpu=on_gpu)
        if is_simulated:
            plain = {"compiler": "none", "compiler_config": ""}
            deployment = case.deployment.replace(**plain)
            case = case.replace(deployment=deployment)
        yield case


def _case(
    row: MatrixRow,
    request: BenchRequest,
    layers: Sequence[Layer],
    scattered: Sequence[str],
    *,
    on_gpu: bool,
) -> BenchCase:
    names, words = _layers(row, layers, scattered)
    kept_steps = request.kept_steps if row.quant_type is not None else NO_STEPS
    return BenchCase(
        deployment=Deployment(
            compiler=row.compiler,
            compiler_config=torch_config(request, on_gpu=on_gpu) if row.compiler == "torch" else "",
            choice=Choice.of_one(row.quant_type or "", names, kept_steps),
            fp8_attention=row.fp8_attention,
            memory=_memory(request) if row.memory else MemoryOptions(),
        ),
        selection=words,
        # What was published is not for a row that keeps steps: it has another name.
        name="" if row == MATRIX[0] else "+".join(filter(None, (row.name, kept_steps.label))),
    )


def _layers(
    row: MatrixRow, layers: Sequence[Layer], scattered: Sequence[str]
) -> tuple[tuple[str, ...], str | None]:
    """The layers that a row wants, and how they were chosen in words."""
    if row.quant_type is None:
        return (), None
    paying = tuple(layer.fqn for layer in layers if speeds_up(layer))
    if row.which == "scattered":
        kind = "block layers that pay" if paying else "block layers"
        return tuple(scattered), f"{DEFAULT_TOP_PERCENTAGE:g}% of the {kind}, scattered"
    if row.which == "pays" and paying:
        return paying, f"rows >= {PAYING_ROWS} and N >= {PAYING_FEATURES}"
    return tuple(layer.fqn for layer in layers), "every layer that the kernels can run"


def _memory(request: BenchRequest) -> MemoryOptions:
    return MATRIX_MEMORY if request.memory == MemoryOptions() else request.memory
