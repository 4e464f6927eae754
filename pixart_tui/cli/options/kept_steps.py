"""Options that say at which denoising steps nothing is quantized, and their checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, Final, TypeVar

import click

from pixart_tui.domain.benchmarks.matrix import wanted_rows
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.steps import KeptSteps, parse_numbers
from pixart_tui.domain.requests import BenchRequest

_Command = TypeVar("_Command", bound=Callable[..., Any])

_OPTIONS: Final = (
    click.option(
        "--keep-steps",
        metavar="LIST",
        default="",
        help="Quantize nothing at these denoising steps, counted from 1: 9-13,20.",
    ),
    *(
        click.option(
            f"--keep-{which}-steps",
            type=click.IntRange(0),
            default=0,
            metavar="N",
            help=f"Quantize nothing at the {which} N denoising steps.",
        )
        for which in ("first", "last")
    ),
)


def kept_steps_options(command: _Command) -> _Command:
    """Adds the options that say which steps are kept."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def kept_steps_fields(options: Mapping[str, Any]) -> KeptSteps:
    """Reads the options of :func:`kept_steps_options`."""
    text = options["keep_steps"]
    return KeptSteps(
        first=options["keep_first_steps"],
        last=options["keep_last_steps"],
        numbers=parse_numbers(text) if text else (),
    )


def check_kept_steps(request: BenchRequest) -> None:
    """Refuses steps that no row of a benchmark would keep, or that leave none to quantize.

    Where the model says how many steps there are, the worker refuses the latter.

    Raises:
        RequestError: Nothing is quantized, or no step.
    """
    kept = request.kept_steps
    rows = wanted_rows(request) if request.matrix else ()
    if kept and not (request.quantize or any(row.quant_type for row in rows)):
        raise RequestError(
            "no row would keep steps",
            cause="--keep-steps, --keep-first-steps and --keep-last-steps are for rows that "
            "quantize",
            next_step="add --quantize, or rows of the matrix that quantize",
        )
    if request.num_inference_steps is not None:
        kept.check_leaves_some(request.num_inference_steps)
