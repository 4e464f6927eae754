"""Options that several commands share, and their checks."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from functools import reduce
from pathlib import Path, PurePath
from typing import Any, Final, TypeVar

import click

from pixart_tui.cli.options.weights import WEIGHT_OPTIONS, weight_fields
from pixart_tui.domain.errors import RequestError, blaming
from pixart_tui.domain.files.model_paths import is_model_directory, model_path
from pixart_tui.domain.files.text_files import read_prompts
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.timesteps import check_agreement, parse_timesteps
from pixart_tui.machine.devices import count_gpus, default_device, default_threads
from pixart_tui.runs.files import check_writable, is_same_file, is_stream

DISPLAYS: Final = ("auto", "tui", "plain", "json", "none")
SIZE_STEP: Final = 16

_Command = TypeVar("_Command", bound=Callable[..., Any])

display_option: Final = click.option(
    "--display",
    type=click.Choice(DISPLAYS),
    default="auto",
    show_default=True,
    help="How to watch: the dashboard, plain progress, events as JSON lines, or not at all.",
)

timesteps_option: Final = click.option(
    "--timesteps",
    metavar="T,T,...",
    help="Timesteps in place of a number of steps, descending, for distilled models: 999,749,499.",
)

_SAMPLING: Final = (
    click.option(
        "--model",
        type=click.Path(),
        metavar="TEXT",
        default="pixart-emoji",
        show_default=True,
        help="pixart-emoji, a directory, a Hugging Face id, synthetic:alpha or synthetic:sigma.",
    ),
    *WEIGHT_OPTIONS,
    click.option("--prompt", "prompts", multiple=True, metavar="TEXT", help="May be repeated."),
    click.option(
        "--prompts-file",
        type=click.Path(path_type=Path),
        help="One prompt a line; empty lines and lines that begin with # are skipped. - for stdin.",
    ),
    click.option("--negative-prompt", default="", metavar="TEXT"),
    click.option("--steps", type=click.IntRange(1, 1000), help="Denoising steps."),
    click.option("--guidance-scale", type=click.FloatRange(0, 100), metavar="X"),
    click.option("--height", type=click.IntRange(64, 8192), help="Pixels."),
    click.option("--width", type=click.IntRange(64, 8192), help="Pixels."),
    click.option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one."),
)


def sampling_options(command: _Command) -> _Command:
    """Adds the options that say which images are made."""
    return reduce(lambda decorated, option: option(decorated), reversed(_SAMPLING), command)


def sampling_fields(options: dict[str, Any]) -> dict[str, Any]:
    """The fields of a request that the options of :func:`sampling_options` fill.

    Raises:
        RequestError: A file, a size, timesteps or a device that cannot be used.
    """
    for name in ("height", "width"):
        with blaming(f"--{name}"):
            _check_size(name, options[name])
    with blaming("--model"):
        _check_model(options["model"])
    with blaming("--prompts-file"):
        prompts = _prompts(options["prompts"], options["prompts_file"])
    with blaming("--device"):
        device = resolve_device(options["device"])
    with blaming("--timesteps"):
        timesteps = _timesteps(options.get("timesteps"), options["steps"])
    return {
        "model": _absolute_if_local(options["model"]),
        **weight_fields(options),
        "prompts": prompts,
        "negative_prompt": options["negative_prompt"],
        "num_inference_steps": options["steps"],
        "timesteps": timesteps,
        "guidance_scale": options["guidance_scale"],
        "height": options["height"],
        "width": options["width"],
        "device": device,
        "threads": default_threads(),
    }


def _timesteps(text: str | None, steps: int | None) -> tuple[int, ...]:
    timesteps = parse_timesteps(text) if text is not None else ()
    check_agreement(steps, timesteps)
    return timesteps


def resolve_device(asked: str | None) -> str:
    """``cpu`` or ``cuda:N``; without a wish, the first GPU if there is one.

    Raises:
        RequestError: No such device.
    """
    if asked is None:
        return default_device()
    gpus = count_gpus()
    kind, _, index = asked.partition(":")
    if asked == "cpu":
        return asked
    if kind == "cuda" and (index or "0").isdecimal() and int(index or 0) < gpus:
        return f"cuda:{int(index or 0)}"
    found = f"this machine has {gpus} NVIDIA GPU{'s' if gpus != 1 else ''}"
    raise RequestError(
        f'there is no device "{asked}"', cause=found, next_step="use cpu, cuda or cuda:N"
    )


def check_quant_type(name: str) -> str:
    """A quant type's name.

    Raises:
        RequestError: There is no such quant type.
    """
    with blaming("--quant-type"):
        return parse_quant_type(name).name


def check_output(
    path: Path,
    option: str = "--output",
    *,
    beside: Sequence[PurePath] = (),
    read: Sequence[PurePath] = (),
) -> Path:
    """A file that can be written, absolute; nothing is made.

    Args:
        path: The file.
        option: The option that names it.
        beside: What is written beside it, unless it is a device or a pipe.
        read: What is read, and may not be written over.

    Raises:
        RequestError: It is a directory, cannot be written, or is read.
    """
    with blaming(option):
        check_file(path, option, read)
        for other in beside if not is_stream(path) else ():
            check_file(Path(other), option, read)
    return path.absolute()


def check_file(path: Path, option: str = "--output", read: Sequence[PurePath] = ()) -> None:
    """Refuses a file that cannot be written; nothing is made.

    Raises:
        RequestError: It is a directory, cannot be written, or is read.
    """
    try:
        check_writable(path.absolute())
        overwritten = any(is_same_file(path, Path(source)) for source in read)
    except IsADirectoryError as error:
        example = "name a file, for example fp8_e4m3.json"
        raise RequestError(f"{path} is a directory", next_step=example) from error
    except OSError as error:
        cause = error.strerror or str(error)
        raise RequestError(
            f"{path} cannot be written", cause=cause, next_step=f"name another {option}"
        ) from error
    if overwritten:
        raise RequestError(
            f"{path} is read by this command",
            cause="it would be written over",
            next_step=f"name another {option}",
        )


def _check_size(name: str, pixels: int | None) -> None:
    if pixels is not None and pixels % SIZE_STEP:
        nearest = round(pixels / SIZE_STEP) * SIZE_STEP
        raise RequestError(
            f"--{name} {pixels} is not a multiple of {SIZE_STEP}",
            cause="the VAE shrinks the image by 8 and the transformer's patches by 2",
            next_step=f"for example: --{name} {nearest}",
        )


def _check_model(model: str) -> None:
    looks_local = model.startswith(("/", "./", "../", "~"))
    if looks_local and not is_model_directory(model):
        raise RequestError(
            f"{model} is not a directory",
            cause="a local model is a diffusers directory with model_index.json",
            next_step="name one, a Hugging Face id, or pixart-emoji; a LoRA goes to --lora",
        )


def _absolute_if_local(model: str) -> str:
    """A directory is found again by a worker that has another working directory."""
    return str(model_path(model).resolve()) if is_model_directory(model) else model


def _prompts(given: tuple[str, ...], file: Path | None) -> tuple[str, ...]:
    from_file = read_prompts(file) if file else ()
    prompts = tuple(dict.fromkeys(given + from_file))
    if any(not prompt.strip() for prompt in prompts):
        raise RequestError("a prompt is empty", next_step="give --prompt some text")
    return prompts


def is_interactive() -> bool:
    """Whether a person sits at a terminal that can show the dashboard."""
    dumb = os.environ.get("TERM", "dumb") == "dumb"
    # Textual draws on standard error.
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)) and not dumb
