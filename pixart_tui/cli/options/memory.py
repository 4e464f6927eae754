"""Options that say what is done to need less GPU memory, and their checks."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any, Final, TypeVar

import click

from pixart_tui.domain.benchmarks.matrix import wanted_rows
from pixart_tui.domain.deploying.deployment import VAE_DECODINGS, MemoryOptions
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option("--text-encoder-8bit", is_flag=True, help="Hold T5's linears in int8."),
    click.option(
        "--text-encoder-host-blocks",
        type=click.IntRange(0),
        default=0,
        metavar="N",
        help="Keep T5's last N blocks in host memory and copy them for each prompt.",
    ),
    click.option(
        "--vae",
        type=click.Choice(VAE_DECODINGS),
        default="whole",
        show_default=True,
        help="Decode whole, one image at a time, exactly in strips, or in blended tiles.",
    ),
    click.option(
        "--memory-budget",
        type=click.FloatRange(0, 1024, min_open=True),
        metavar="GIB",
        help="Choose these switches so that a call takes no more GPU memory.",
    ),
)


def memory_options(command: _Command) -> _Command:
    """Adds the memory switches and the budget that chooses them."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def memory_fields(options: dict[str, Any]) -> MemoryOptions:
    """Reads the options of :func:`memory_options`.

    Raises:
        RequestError: A budget and a switch.
    """
    switches = MemoryOptions(
        text_encoder_8bit=options["text_encoder_8bit"],
        text_encoder_host_blocks=options["text_encoder_host_blocks"],
        vae=options["vae"],
    )
    budget_gib = options["memory_budget"]
    if budget_gib is None:
        return switches
    if switches != MemoryOptions():
        raise RequestError(
            "--memory-budget and the memory switches exclude each other",
            cause="the budget chooses the switches",
            next_step="leave out --text-encoder-8bit, --text-encoder-host-blocks and --vae, "
            "or the budget",
        )
    return MemoryOptions(budget_bytes=max(1, int(budget_gib * 2**30)))


def check_memory(request: BenchRequest) -> None:
    """Refuses memory options that no row of a benchmark would take.

    Raises:
        RequestError: No row takes them, or a budget without a GPU.
    """
    if request.memory == MemoryOptions():
        return
    if request.matrix:
        takes = any(row.memory for row in wanted_rows(request))
    else:
        takes = set(request.compilers) != {"none"}
    if not takes:
        raise RequestError(
            "no row would take the memory options",
            cause="the baseline none is the stock pipeline, and a matrix has rows of its own "
            "for memory",
            next_step="add another --compiler, or the matrix's row torch-fp8-memory",
        )
    if request.memory.budget_bytes is not None and request.device == "cpu":
        raise RequestError(
            "--memory-budget needs a GPU",
            cause="on a CPU nothing tells what a call takes beside the rest of the process",
            next_step="use --device cuda, or the switches themselves",
        )
