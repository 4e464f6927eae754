"""``pixart-tui select``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from pixart_tui.cli.display.tables import print_selection
from pixart_tui.cli.options import check_output
from pixart_tui.domain import onediff_file, sidecar
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.profile import Profile
from pixart_tui.domain.requests import DEFAULT_TOP_PERCENTAGE, ProfileRequest
from pixart_tui.domain.selection import Rule, Selection
from pixart_tui.domain.selection import select as apply_rule
from pixart_tui.domain.selection_files import selection_files
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.files import write_atomically
from pixart_tui.runs.run import RunState


@click.command(
    epilog="""\b
Examples:
  pixart-tui select last
  pixart-tui select profiles/pixart-emoji/fp8_e4m3.json --flops-share 0.8
  pixart-tui select last --time-share 0.7
  pixart-tui select fp8_e4m3.json --max-loss 0.001 --output fp8_e4m3.selected.json"""
)
@click.argument("profile")
@click.option("--top-percentage", type=float, metavar="P", help="The seed's rule: 90 by default.")
@click.option("--flops-share", type=float, metavar="S", help="Share of linear FLOPs, 0 to 1.")
@click.option(
    "--time-share",
    type=float,
    metavar="S",
    help="Share of measured linear time, 0 to 1, of layers that are faster quantized.",
)
@click.option("--max-loss", type=float, metavar="X", help="Largest summed 1 - SSIM.")
@click.option("--output", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the selection as JSON.")
def select(
    profile: str,
    top_percentage: float | None,
    flops_share: float | None,
    time_share: float | None,
    max_loss: float | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Choose the layers to quantize from PROFILE (a JSON that profile wrote, or a run).

    Writes a JSON of the chosen layers alone, for OneDiff's quantize_pipe with top_percentage 100.
    """
    rule, parameter = _rule(
        {
            "top-percentage": top_percentage,
            "flops-share": flops_share,
            "time-share": time_share,
            "max-loss": max_loss,
        }
    )
    known, source = read_profile(profile)
    selection = apply_rule(known.scores(), known.conditions.quant_type, rule, parameter)
    target = check_output(output or Path(onediff_file.selected_path(source)))
    write_selection(known, selection, source.name, target)
    if as_json:
        click.echo(selection.model_dump_json(indent=1))
    else:
        print_selection(known, selection, target)


def read_profile(reference: str) -> tuple[Profile, Path]:
    """The profile in a file or of a run, and the file's path.

    Raises:
        RequestError: There is none, or it cannot be read.
    """
    path = Path(reference)
    if path.suffix == ".json" or path.is_file():
        return _read_file(path), path
    run = find_run(reference)
    request = run.record.request if run.record else None
    if run.snapshot.profile is None or not isinstance(request, ProfileRequest):
        raise RequestError(f"run {run.id} holds no profile", "", "see: pixart-tui runs")
    if run.state() is not RunState.DONE:
        raise RequestError(
            f"run {run.id} is {run.state()}",
            f"{run.snapshot.done} of {run.snapshot.total} layers are measured",
            f"finish it first: pixart-tui resume {run.id}, or attach {run.id}",
        )
    return run.snapshot.profile, Path(request.output)


def write_selection(profile: Profile, selection: Selection, name: str, target: Path) -> None:
    """Writes a selection's JSON and its sidecar.

    Raises:
        RequestError: Nothing was chosen.
        WorkError: The files cannot be written.
    """
    if not selection.chosen:
        raise RequestError(
            f"--{selection.rule} {selection.parameter:g} chooses no layer",
            "OneDiff cannot use a file without layers",
            "ask for more",
        )
    layers, meta = selection_files(profile, selection, name)
    write_atomically(Path(onediff_file.sidecar_path(target)), meta)
    write_atomically(target, layers)


def _rule(rules: Mapping[Rule, float | None]) -> tuple[Rule, float]:
    given = [(rule, value) for rule, value in rules.items() if value is not None]
    if len(given) > 1:
        names = " and ".join(f"--{rule}" for rule, _ in given)
        raise RequestError(f"{names} exclude each other", "", "give one of them")
    return given[0] if given else ("top-percentage", DEFAULT_TOP_PERCENTAGE)


def _read_file(path: Path) -> Profile:
    onediff_file.parse(_text(path, "profile with: pixart-tui profile --output FILE"), str(path))
    beside = Path(onediff_file.sidecar_path(path))
    text = _text(beside, "keep the .meta.json beside the .json, or profile again")
    return sidecar.parse(text, str(beside), sidecar.ProfileSidecar).profile


def _text(path: Path, next_step: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise RequestError(f"{path} cannot be read", cause, next_step) from error
