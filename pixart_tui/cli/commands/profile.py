"""``pixart-tui profile``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pixart_tui.cli.display.starting import carry_out
from pixart_tui.cli.options.common import (
    check_output,
    check_quant_type,
    display_option,
    sampling_fields,
    sampling_options,
    timesteps_option,
)
from pixart_tui.cli.options.verify_file import fields_of_checked
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.files.model_names import model_name, weights_name
from pixart_tui.domain.layers.quant_types import (
    QUANT_TYPE_NAMES,
    DtypeName,
    ExecutionName,
    default_profile_filename,
)
from pixart_tui.domain.profiles.effects import Method
from pixart_tui.domain.requests import (
    DEFAULT_DRAWS,
    DEFAULT_QUANT_TYPE,
    DEFAULT_TOP_PERCENTAGE,
    ProfileRequest,
    no_attention_of_whole_images,
    output_of,
)
from pixart_tui.runs.files import is_stream, make_parent


@click.command(
    epilog="""\b
Examples:
  pixart-tui profile
  pixart-tui profile --prompt "red apple" --prompt "robot" --seeds 2 --output out/fp8_e4m3.json
  pixart-tui profile --model /models/PixArt-XL-2-1024-MS --device cuda --detach
  pixart-tui profile --device cuda --execution real --model synthetic:alpha
  pixart-tui profile --quant-type fp8_e4m3_e4m3_dynamic --quant-type int8_dynamic
  pixart-tui profile --fp8-attention
  pixart-tui profile --lora style.safetensors --lora-scale 0.8
  pixart-tui profile --method exhaustive
  pixart-tui profile --verify theirs/fp8_e4m3.json
  pixart-tui profile --display json | head"""
)
@sampling_options
@timesteps_option
@click.option(
    "--quant-type",
    "quant_types",
    multiple=True,
    metavar="TYPE",
    help=f"{DEFAULT_QUANT_TYPE} by default. May be repeated, or all: one pass measures them "
    "together, and each gets a JSON of its own.",
)
@click.option(
    "--execution",
    type=click.Choice(["simulated", "real"]),
    default="simulated",
    show_default=True,
    help="The quantized layer: its reference numerics, or the kernel that this device runs.",
)
@click.option(
    "--baseline-dtype",
    type=click.Choice(["float32", "bfloat16"]),
    default="float32",
    show_default=True,
    help="Everything else. bfloat16 is for full-size models on a GPU: half the memory and less "
    "time, but layers below the bf16 floor rank less reliably.",
)
@click.option(
    "--method",
    type=click.Choice(["adjoint", "exhaustive"]),
    default="adjoint",
    show_default=True,
    help="adjoint: all layers at once, by a backward pass through the sampler. exhaustive: each "
    "layer quantized alone, whole images.",
)
@click.option(
    "--fp8-attention/--no-fp8-attention",
    default=False,
    show_default=True,
    help="adjoint: what each block's self-attention costs in fp8, in the same pass; a file of its "
    "own, which select takes beside the others.",
)
@click.option(
    "--draws",
    type=click.IntRange(1, 256),
    default=DEFAULT_DRAWS,
    show_default=True,
    metavar="N",
    help="adjoint: random functionals of each image that go back; more are surer and slower.",
)
@click.option(
    "--cut",
    type=click.FloatRange(0, 100),
    default=DEFAULT_TOP_PERCENTAGE,
    show_default=True,
    metavar="P",
    help="adjoint ends once it is settled which layers are among the best P percent.",
)
@click.option("--all-samples", is_flag=True, help="adjoint measures every prompt and seed anyway.")
@click.option(
    "--max-minutes",
    type=click.FloatRange(0, min_open=True),
    metavar="X",
    help="adjoint begins no further prompt or seed after so long.",
)
@click.option(
    "--low-memory", is_flag=True, help="adjoint takes as little memory as it can, and longer."
)
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="The JSON that OneDiff reads; by default profiles/MODEL/NAME.json, with a folder of its "
    "own for another execution or dtype: profiles/MODEL/real-bfloat16/NAME.json.",
)
@click.option(
    "--verify",
    "checks",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Measure a third party's JSON again, as its .meta.json says, and say where it "
    "disagrees; exit code 1 if it does.",
)
@click.option("--detach", is_flag=True, help="Print the run's id and return.")
@display_option
def profile(detach: bool, display: str, **options: Any) -> int:
    """Measure how much each layer's quantization changes the image.

    Writes the JSON that OneDiff reads and beside it a .meta.json with every measurement. The work
    goes on if this terminal closes; come back with: pixart-tui attach last
    """
    request = profile_request(**options)
    make_parent(Path(request.output))
    run, exit_code = carry_out(request, display, detach=detach)
    checked = run.snapshot.profiling.checked
    return 1 if checked is not None and not checked.found.agrees else exit_code


def profile_request(
    quant_types: tuple[str, ...],
    execution: ExecutionName,
    baseline_dtype: DtypeName,
    method: Method,
    fp8_attention: bool,
    draws: int,
    cut: float,
    all_samples: bool,
    max_minutes: float | None,
    low_memory: bool,
    seeds: int,
    checks: Path | None,
    output: Path | None,
    **sampling: Any,
) -> ProfileRequest:
    """Builds the request of ``profile``.

    Raises:
        RequestError: It cannot be done.
    """
    if fp8_attention and method == "exhaustive":
        raise no_attention_of_whole_images()
    fields = sampling_fields(sampling) | {
        **_types_fields(quant_types, method),
        "execution": execution,
        "baseline_dtype": baseline_dtype,
        "method": method,
        "fp8_attention": fp8_attention,
        "draws": draws,
        "cut": cut,
        "all_samples": all_samples,
        "max_minutes": max_minutes,
        "low_memory": low_memory,
        "seeds": tuple(range(seeds)),
    }
    if checks is not None:
        fields |= fields_of_checked(checks, fields)
        output = output or checks.with_name(f"{checks.name.removesuffix('.json')}.checked.json")
    named = ("model", "quant_type", "execution", "baseline_dtype", "method")
    weights = weights_name(fields["variant"], fields["lora"])
    default = default_output(*(str(fields[x]) for x in named), weights=weights)
    request = ProfileRequest.model_validate(
        fields | {"output": str((output or default).absolute())}
    )
    _check_outputs(request, [checks] if checks else [])
    return request


def _check_outputs(request: ProfileRequest, read: Sequence[Path]) -> None:
    """Refuses files that cannot be written, of every quant type, before anything is measured."""
    protected = onediff_file.with_companions(read)
    for quant_type in request.quant_types:
        path = output_of(request, quant_type)
        check_output(path, beside=onediff_file.companions(path), read=protected)
    if is_stream(Path(request.output)) and len(request.quant_types) > 1:
        raise RequestError(
            f"{request.output} takes one profile",
            cause=f"{len(request.quant_types)} are asked for, with a file each",
            next_step="name a file, or one quant type",
            option="--output",
        )


def _types_fields(quant_types: tuple[str, ...], method: Method) -> dict[str, Any]:
    """The fields that say which quant types are measured."""
    named = QUANT_TYPE_NAMES if "all" in quant_types else quant_types or (DEFAULT_QUANT_TYPE,)
    first, *others = dict.fromkeys(check_quant_type(name) for name in named)
    if others and method == "exhaustive":
        raise RequestError(
            "the exhaustive method measures one quant type a run",
            cause=f"{1 + len(others)} are asked for",
            next_step="give one --quant-type, or use --method adjoint",
            option="--quant-type",
        )
    return {"quant_type": first, "more_quant_types": tuple(others)}


def default_output(
    model: str,
    quant_type: str,
    execution: str,
    baseline_dtype: str,
    method: str = "adjoint",
    *,
    weights: str = "",
) -> Path:
    """``profiles/<model>/[<what differs from simulated float32, adjoint>/]<name>.json``.

    Profiles that were measured in different ways, or of other weights, must not overwrite each
    other.
    """
    folder = Path("profiles") / model_name(model)
    parts = (
        *((execution, "simulated"), (baseline_dtype, "float32")),
        *((method, "adjoint"), (weights, "")),
    )
    differing = "-".join(chosen for chosen, usual in parts if chosen != usual)
    return folder / differing / default_profile_filename(quant_type)
