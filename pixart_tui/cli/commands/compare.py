"""``pixart-tui compare``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from pixart_tui.cli.display.comparisons import comparison_json, print_similarity
from pixart_tui.cli.display.starting import carry_out
from pixart_tui.cli.display.writing import say, say_json
from pixart_tui.cli.options.common import (
    check_output,
    check_quant_type,
    display_option,
    sampling_fields,
    sampling_options,
    timesteps_option,
)
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.files.model_names import model_name, weights_name
from pixart_tui.domain.files.text_files import read_text
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE, DEFAULT_TOP_PERCENTAGE, CompareRequest
from pixart_tui.domain.selecting import onediff_rule

_OF_FILES: Final = ("images", "output", "as_json")
_SUFFIXES: Final = (".png", ".webp", ".jpg", ".jpeg")
_FILES_SIDE: Final = 2048
_LEAST_SIDE: Final = 6


@click.command(
    epilog="""\b
Examples:
  pixart-tui compare eager.png quantized.png
  pixart-tui compare eager.png quantized.png --output both.png --json
  pixart-tui compare --quant-type int8_dynamic --prompt "red apple" --seeds 2
  pixart-tui compare --lora style.safetensors
  pixart-tui compare --layer proj_out --layer adaln_single.linear
  pixart-tui compare --quant-submodules-config-path profiles/pixart-emoji/fp8_e4m3.json"""
)
@click.argument("images", nargs=-1, type=click.Path(path_type=Path), metavar="[A B]")
@sampling_options
@timesteps_option
@click.option("--quant-type", default=DEFAULT_QUANT_TYPE, show_default=True)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="FQN",
    help="Quantize this layer; may be repeated. Without any: every layer that can be.",
)
@click.option(
    "--quant-submodules-config-path",
    "layers_file",
    type=click.Path(path_type=Path),
    help="Quantize the layers that OneDiff would choose from this JSON.",
)
@click.option(
    "--top-percentage",
    type=click.FloatRange(0, 100),
    default=DEFAULT_TOP_PERCENTAGE,
    show_default=True,
    metavar="P",
    help="The share of that JSON's layers, by count.",
)
@click.option(
    "--execution",
    type=click.Choice(["simulated", "real"]),
    default="simulated",
    show_default=True,
    help="Quantized layers: their reference numerics, or the kernel that this device runs.",
)
@click.option(
    "--baseline-dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Everything else; bfloat16 is for full-size models on a GPU.",
)
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The picture with all side by side: PNG, WebP or JPEG. Of two images none is written "
    "without it; otherwise comparisons/MODEL/QUANT_TYPE.png.",
)
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on stdout.")
@click.option("--detach", is_flag=True, help="Print the run's id and return.")
@display_option
@click.pass_context
def compare(
    context: click.Context,
    /,
    images: tuple[Path, ...],
    quant_type: str,
    layers: tuple[str, ...],
    layers_file: Path | None,
    top_percentage: float,
    execution: str,
    baseline_dtype: str,
    seeds: int,
    output: Path | None,
    as_json: bool,
    detach: bool,
    display: str,
    **sampling: Any,
) -> int:
    """Compare two images, or a model's images with and without quantized layers.

    With A and B: SSIM, PSNR and mean absolute error of B against A, in RGB with 8 bits a channel:
    of 16 the upper 8, transparency on white, turned by EXIF, of an animation the first image.
    Without: makes the images in a run of its own, as profile does; come back with attach.
    """
    if images:
        _refuse_run_options(context)
        return _compare_files(images, output, as_json)
    name = check_quant_type(quant_type)
    fields = sampling_fields(sampling)
    folder = Path("comparisons") / model_name(fields["model"])
    default = folder / weights_name(fields["variant"], fields["lora"]) / f"{name}.png"
    request = CompareRequest(
        **fields,
        quant_type=name,
        execution=execution,
        baseline_dtype=baseline_dtype,
        layers=_layers(layers, layers_file, top_percentage),
        seeds=tuple(range(seeds)),
        output=str(_check_picture(output or default)),
    )
    run, code = carry_out(request, "none" if as_json else display, detach=detach)
    if as_json and not detach:
        say_json(comparison_json(run))
    return code


def _refuse_run_options(context: click.Context) -> None:
    """Images that are there are not made; what would say how must not look obeyed."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _OF_FILES
        and context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    ]
    if given:
        raise RequestError(
            f"{given[0]} does not go with two images",
            cause="it says how images are made",
            next_step="leave it out, or leave the images out",
        )


def _compare_files(images: tuple[Path, ...], output: Path | None, as_json: bool) -> int:
    from pixart_tui.domain.profiles.image_metrics import image_similarity
    from pixart_tui.runs.results.image_reading import read_any_image
    from pixart_tui.runs.results.pictures import SideBySide, pixels_of, side_by_side, write_image

    if len(images) != 2:
        raise RequestError(
            f"{len(images)} image{'s' if len(images) > 1 else ''} cannot be compared",
            cause="two are needed",
            next_step="for example: pixart-tui compare eager.png quantized.png",
        )
    target = _check_picture(output, images) if output else None
    found_images = [read_any_image(path) for path in images]
    for path, read in zip(images, found_images, strict=True):
        for note in read.notes:
            say(f"{path}: {note}", err=True)
    reference, image = (read.image for read in found_images)
    _check_sizes(images, reference.size, image.size)
    found = image_similarity(pixels_of(image), pixels_of(reference))
    if target:
        titles = (images[0].name, images[1].name)
        row = SideBySide(image, reference, _caption(found.ssim, found.psnr_db, found.mae))
        write_image(target, side_by_side([row], titles, _FILES_SIDE))
    if as_json:
        named = {"a": str(images[0]), "b": str(images[1])}
        beside = {"side_by_side": str(target) if target else None}
        say_json(named | found.model_dump() | beside)
    else:
        print_similarity(found)
        if output:
            say(f"wrote {output}")
    return 0


def _caption(ssim: float, psnr_db: float | None, mae: float) -> str:
    from pixart_tui.reporting.score_text import figures_text

    return figures_text(ssim, psnr_db, mae)


def _check_sizes(images: tuple[Path, ...], first: tuple[int, int], second: tuple[int, int]) -> None:
    if first != second:
        both = zip(images, (first, second), strict=True)
        sizes = (f"{path} is {width} x {height}" for path, (width, height) in both)
        raise RequestError(
            "the images have different sizes",
            cause=", ".join(sizes),
            next_step="make both with the same --height and --width",
        )
    if min(first) < _LEAST_SIDE:
        raise RequestError(
            "the images are too small",
            cause=f"they are {first[0]} x {first[1]}; SSIM looks at 11 x 11 pixels",
            next_step=f"compare images of {_LEAST_SIDE} pixels a side at least",
        )


def _check_picture(path: Path, read: Sequence[Path] = ()) -> Path:
    if path.suffix.lower() not in _SUFFIXES:
        raise RequestError(
            f"{path} is no name of a picture",
            cause=f'it ends in "{path.suffix}"',
            next_step=f"let it end in one of {', '.join(_SUFFIXES)}",
        )
    return check_output(path, read=read)


def _layers(given: tuple[str, ...], file: Path | None, top_percentage: float) -> tuple[str, ...]:
    """The layers that are named, by themselves or by a file; none for all."""
    if file is None:
        return tuple(dict.fromkeys(given))
    if given:
        raise RequestError(
            "--layer does not go with --quant-submodules-config-path",
            cause="both say which layers",
            next_step="give one of them",
        )
    text = read_text(file, "write one with: pixart-tui select PROFILE")
    chosen = onediff_rule.chosen_layers(onediff_file.parse(text, str(file)), top_percentage)
    if not chosen:
        raise RequestError(
            f"--top-percentage {top_percentage:g} leaves no layer",
            cause=str(file),
            next_step="ask for more",
        )
    return chosen
