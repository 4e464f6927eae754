"""``pixart-tui bench``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast

import click

from pixart_tui.caches.compile_cache import CompileCache
from pixart_tui.cli.display.starting import carry_out
from pixart_tui.cli.display.writing import say
from pixart_tui.cli.options.common import (
    check_output,
    display_option,
    sampling_fields,
    sampling_options,
)
from pixart_tui.cli.options.kept_steps import (
    check_kept_steps,
    kept_steps_fields,
    kept_steps_options,
)
from pixart_tui.cli.options.memory import check_memory, memory_fields, memory_options
from pixart_tui.cli.options.quantization import quantization_fields
from pixart_tui.cli.options.renamed import RenamedChoice
from pixart_tui.domain.benchmarks.matrix import MATRIX, wanted_rows
from pixart_tui.domain.deploying.compiler_config import check_nexfort_config, parse_compiler_config
from pixart_tui.domain.deploying.deployment import COMPILERS, ONEDIFF_BACKENDS, Compiler
from pixart_tui.domain.deploying.onediff_backends import oneflow_does_not_quantize, require_backend
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.bench_files import bench_companions, is_bench_markdown
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.runs.files import make_parent


@click.command(
    epilog="""\b
Examples:
  pixart-tui bench
  pixart-tui bench --compiler none --compiler compile-max-autotune --json bench.json
  pixart-tui bench --matrix onediff --model synthetic:alpha --json bench.json
  pixart-tui bench --model synthetic:alpha --compiler torch --memory-budget 6
  pixart-tui bench --quantize --quantize-config '{"quant_type": "fp8_e4m3_e4m3_dynamic"}' \\
      --quant-submodules-config-path profiles/pixart-emoji/fp8_e4m3.json
  pixart-tui bench --quantize --compiler torch --keep-last-steps 1"""
)
@sampling_options
@click.option(
    "--compiler",
    "compilers",
    type=click.Choice(COMPILERS),
    multiple=True,
    help="May be repeated; none is the baseline and always measured.  [default: compile]",
)
@click.option(
    "--compiler-config",
    metavar="JSON",
    help='For torch, nexfort: {"mode": "a:b:c", "memory_format": "channels_last", "dynamic": true}',
)
@click.option("--quantize", is_flag=True, help="Measure a quantized row too.")
@click.option(
    "--quantize-config",
    metavar="JSON",
    default="{}",
    help='{"quant_type": NAME, "top_percentage": P}',
)
@click.option(
    "--quant-submodules-config-path",
    type=click.Path(path_type=Path),
    help="The layers' JSON: of OneDiff's the best 90% by SSIM, of a mixed selection all it says.",
)
@click.option(
    "--fp8-attention",
    is_flag=True,
    help="Have the quantized rows of --compiler torch multiply self-attention in fp8 too.",
)
@kept_steps_options
@click.option(
    "--matrix",
    type=RenamedChoice(("onediff",), {"seed": "onediff"}),
    help="A ready set of rows: those of OneDiff's PixArt report, and ours beside them.",
)
@click.option("--rows", metavar="NAME,...", default="", help="Only these rows of the matrix.")
@click.option("--list-rows", is_flag=True, help="Print the matrix's rows and return.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="How often the rows take turns; the figures are pooled.",
)
@click.option(
    "--cold/--no-cold",
    default=True,
    show_default=True,
    help="Measure a start with empty caches; without it, begin with what `cache` holds.",
)
@memory_options
@click.option(
    "--warm-cache",
    is_flag=True,
    help="Start from the kept compile cache (pixart-tui cache); no start with empty caches.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--repeats", type=click.IntRange(1, 1000), default=5, show_default=True)
@click.option("--json", "output", type=click.Path(path_type=Path), help="Write the results here.")
@click.option("--detach", is_flag=True, help="Print the run's id and return.")
@display_option
def bench(list_rows: bool, detach: bool, display: str, **options: Any) -> int:
    """Measure speed, memory, warm-up and image quality, beside the eager pipeline."""
    if list_rows:
        return _list_rows()
    request = bench_request(sys.argv[1:], **options)
    if request.output:
        make_parent(Path(request.output))
    return carry_out(request, display, detach=detach)[1]


def bench_request(
    words: Sequence[str],
    compilers: tuple[str, ...],
    compiler_config: str | None,
    quantize: bool,
    quantize_config: str,
    quant_submodules_config_path: Path | None,
    fp8_attention: bool,
    matrix: str | None,
    rows: str,
    rounds: int,
    cold: bool,
    warm_cache: bool,
    seed: int,
    repeats: int,
    output: Path | None,
    **shared: Any,
) -> BenchRequest:
    """Builds the request of ``bench``; ``words`` are the command line, for the record.

    Raises:
        RequestError: It cannot be done.
    """
    _check_matrix(matrix, rows, own_rows=bool(compilers) or quantize)
    _check_backends(compilers, quantize)
    kept_steps, wanted = kept_steps_fields(shared), _with_baseline(compilers)
    _check_quantize(quantize, quantize_config, quant_submodules_config_path)
    quantization = quantization_fields(
        quantize_config, quant_submodules_config_path, wanted, kept_steps
    )
    _check_fp8_attention(fp8_attention, quantize, compilers)
    request = BenchRequest(
        **sampling_fields(shared),
        **quantization,
        quantize=quantize,
        fp8_attention=fp8_attention,
        kept_steps=kept_steps,
        memory=memory_fields(shared),
        compilers=wanted,
        compiler_config=_compiler_config(compiler_config, compilers),
        matrix=cast(Literal["", "onediff"], matrix or ""),
        rows=_names(rows),
        rounds=rounds,
        cold=cold,
        warm_cache=warm_cache,
        seed=seed,
        repeats=repeats,
        output=str(_check_output(output, quant_submodules_config_path)) if output else None,
        command=shlex.join(["pixart-tui", *words]),
    )
    if matrix:
        wanted_rows(request)
    if warm_cache:
        CompileCache.of(request.device).require()
    check_memory(request)
    check_kept_steps(request)
    return request


def _check_output(output: Path, layers: Path | None) -> Path:
    beside = bench_companions(output)
    path = check_output(output, "--json", beside=beside, read=[layers] if layers else [])
    if Path(beside[0]).is_file():
        _refuse_foreign(Path(beside[0]))
    return path


def _refuse_foreign(markdown: Path) -> None:
    """Refuses to write over a page that is no benchmark's: nobody named it."""
    if not is_bench_markdown(markdown.read_text(encoding="utf-8", errors="replace")):
        raise RequestError(
            f"{markdown} is there and holds no benchmark",
            cause="the table of a benchmark is written beside its JSON, under that name",
            next_step="give --json another name, or move that file away",
            option="--json",
        )


def _list_rows() -> int:
    width = max(len(row.name) for row in MATRIX)
    for row in MATRIX:
        say(f"{row.name:{width}}  {row.summary}")
    return 0


def _check_matrix(matrix: str | None, rows: str, *, own_rows: bool) -> None:
    if matrix and own_rows:
        raise RequestError(
            "--matrix brings its own rows",
            cause="--compiler and --quantize say which rows there are too",
            next_step="leave one of them out; --rows takes a part of the matrix",
            option="--matrix",
        )
    if rows and not _names(rows):
        raise RequestError(
            f"--rows {rows} names no row",
            next_step="list them with: pixart-tui bench --matrix onediff --list-rows",
            option="--rows",
        )
    if rows and not matrix:
        raise RequestError(
            "--rows needs --matrix",
            cause="it names rows of a matrix",
            next_step="add --matrix onediff",
        )


def _names(rows: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in rows.split(",") if name.strip())


def _check_fp8_attention(asked: bool, quantize: bool, compilers: tuple[str, ...]) -> None:
    if asked and not (quantize and "torch" in compilers):
        raise RequestError(
            "--fp8-attention needs --quantize and --compiler torch",
            cause="it goes with fp8 linears, in our own kernels alone",
            next_step="add them, or leave it out",
        )


def _with_baseline(given: tuple[str, ...]) -> tuple[Compiler, ...]:
    names = dict.fromkeys(("none", *(given or ("compile",))))
    return tuple(cast(Compiler, name) for name in names)


def _compiler_config(text: str | None, compilers: tuple[str, ...]) -> str:
    """The canonical text, empty for the defaults."""
    if text is None:
        return ""
    if "torch" in compilers:
        return parse_compiler_config(text).to_json()
    if "nexfort" in compilers:
        return check_nexfort_config(text)
    raise RequestError(
        "--compiler-config needs --compiler torch or nexfort",
        cause="the other compilers are measured as torch has them, a matrix brings its own",
        next_step="add --compiler torch, or leave it out",
    )


def _check_backends(compilers: tuple[str, ...], quantize: bool) -> None:
    for name in ONEDIFF_BACKENDS:
        if name in compilers:
            require_backend(name)
    if quantize and "oneflow" in compilers:
        raise oneflow_does_not_quantize()


def _check_quantize(quantize: bool, config: str, layers: Path | None) -> None:
    if not quantize and (layers is not None or config != "{}"):
        raise RequestError(
            "the quantization options need --quantize",
            cause="without it nothing would be quantized",
            next_step="add --quantize, or leave them out",
        )
