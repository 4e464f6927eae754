"""``pixart-tui profile``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from pixart_tui.cli.display.follow import follow
from pixart_tui.cli.options import (
    check_output,
    check_quant_type,
    display_option,
    sampling_fields,
    sampling_options,
)
from pixart_tui.domain.quant_types import default_profile_filename
from pixart_tui.domain.requests import DEFAULT_QUANT_TYPE, ProfileRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.control import start_worker


@click.command(
    epilog="""\b
Examples:
  pixart-tui profile
  pixart-tui profile --prompt "red apple" --prompt "robot" --seeds 2 --output out/fp8_e4m3.json
  pixart-tui profile --model /models/PixArt-XL-2-1024-MS --device cuda --detach
  pixart-tui profile --display json | head"""
)
@sampling_options
@click.option("--quant-type", default=DEFAULT_QUANT_TYPE, show_default=True)
@click.option(
    "--method",
    type=click.Choice(["exhaustive"]),
    default="exhaustive",
    show_default=True,
    help="exhaustive: each layer alone, whole images.",
)
@click.option("--seeds", type=click.IntRange(1, 1000), default=1, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), help="The JSON that OneDiff reads.")
@click.option("--detach", is_flag=True, help="Print the run's id and return.")
@display_option
def profile(
    quant_type: str,
    method: str,
    seeds: int,
    output: Path | None,
    detach: bool,
    display: str,
    **sampling: Any,
) -> int:
    """Measure how much each layer's quantization changes the image.

    Writes the JSON that OneDiff reads and beside it a .meta.json with every measurement. The work
    goes on if this terminal closes; come back with: pixart-tui attach last
    """
    name = check_quant_type(quant_type)
    request = ProfileRequest(
        **sampling_fields(sampling),
        quant_type=name,
        method=method,
        seeds=tuple(range(seeds)),
        output=str(check_output(output or _default_output(sampling["model"], name))),
    )
    run = create_run(request)
    start_worker(run)
    if detach:
        click.echo(run.id)
        return 0
    return follow(run, display)


def _default_output(model: str, quant_type: str) -> Path:
    folder = Path(model.rstrip("/")).name.replace(":", "-")
    return Path("profiles") / folder / default_profile_filename(quant_type)
