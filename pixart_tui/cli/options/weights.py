"""Options that say which weights are loaded: the variant of the files, and a LoRA."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from pixart_tui.domain.errors import RequestError, blaming
from pixart_tui.domain.lora import Lora, find_lora

_Command = TypeVar("_Command", bound=Callable[..., Any])

lora_option: Final = click.option(
    "--lora",
    type=click.Path(path_type=Path),
    help="A LoRA of PEFT, diffusers or kohya, merged into the transformer: a safetensors file, or "
    "a directory with one.",
)

WEIGHT_OPTIONS: Final = (
    click.option(
        "--variant",
        default="",
        metavar="NAME",
        help="Weight files, for example fp16; a model that has no others is read without it.",
    ),
    lora_option,
    click.option(
        "--lora-scale",
        type=float,
        metavar="X",
        help="What the LoRA is multiplied by, besides its alpha / rank.  [default: 1]",
    ),
)


def weight_options(command: _Command) -> _Command:
    """Adds the options."""
    return reduce(lambda decorated, option: option(decorated), reversed(WEIGHT_OPTIONS), command)


def weight_fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a request that the options fill.

    Raises:
        RequestError: There is no such LoRA, or a scale without one.
    """
    return {"variant": options["variant"], "lora": _lora(options["lora"], options["lora_scale"])}


def _lora(path: Path | None, scale: float | None) -> Lora | None:
    with blaming("--lora-scale"):
        if scale is not None and path is None:
            raise RequestError(
                "--lora-scale needs --lora",
                cause="without it nothing would be scaled",
                next_step="add --lora PATH, or leave it out",
            )
    if path is None:
        return None
    with blaming("--lora"):
        return find_lora(path, 1.0 if scale is None else scale)
