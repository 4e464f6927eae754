"""Options of the selection rules, and the profiles to select from."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import reduce
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from pixart_tui.cli.options.common import check_quant_type
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import DEFAULT_TOP_PERCENTAGE, ProfileRequest, output_of
from pixart_tui.domain.selecting.selection import Rule
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.results.profile_files import read_profile_file
from pixart_tui.runs.run import RunState

_Command = TypeVar("_Command", bound=Callable[..., Any])

_RULES: Final[Mapping[str, Rule]] = {
    "top_percentage": "top-percentage",
    "flops_share": "flops-share",
    "time_share": "time-share",
    "saved_share": "saved-share",
    "max_loss": "max-loss",
}
RULE_OPTIONS: Final = tuple(_RULES)
"""The parameters that a rule's options fill; at most one is given."""

_OPTIONS: Final = (
    click.option(
        "--top-percentage",
        type=float,
        metavar="P",
        help="OneDiff's rule: 90 by default. It is about layers and keeps all attention.",
    ),
    click.option(
        "--flops-share",
        type=float,
        metavar="S",
        help="Share of linear FLOPs, 0 to 1; attention has none of them and is kept.",
    ),
    click.option(
        "--time-share",
        type=float,
        metavar="S",
        help="Share of measured linear time, 0 to 1, of layers that are faster quantized.",
    ),
    click.option(
        "--saved-share",
        type=float,
        metavar="S",
        help="Share, 0 to 1, of the time that quantizing can save at most.",
    ),
    click.option(
        "--max-loss",
        type=float,
        metavar="X",
        help="Largest 1 - SSIM; saves the most measured time, or moves the most FLOPs.",
    ),
    click.option(
        "--fused/--not-fused",
        help="Whether the deployment quantizes the input of to_q, to_k and to_v once, as "
        "--compiler torch does; then they never have two quant types.",
    ),
)


quant_types_option: Final = click.option(
    "--quant-type",
    "quant_types",
    multiple=True,
    metavar="TYPE",
    help="Of a run with several: the one to choose from. May be repeated; all by default.",
)


def rule_options(command: _Command) -> _Command:
    """Adds the options that say which layers are chosen."""
    return reduce(lambda decorated, option: option(decorated), reversed(_OPTIONS), command)


def rule_of(options: Mapping[str, Any]) -> tuple[Rule, float]:
    """The rule that the options of :func:`rule_options` ask for, and its parameter.

    Raises:
        RequestError: There are several.
    """
    values = [(rule, options[name]) for name, rule in _RULES.items()]
    given = [(rule, float(value)) for rule, value in values if value is not None]
    if len(given) > 1:
        names = " and ".join(f"--{rule}" for rule, _ in given)
        raise RequestError(f"{names} exclude each other", next_step="give one of them")
    return given[0] if given else ("top-percentage", DEFAULT_TOP_PERCENTAGE)


def read_profiles(
    references: Sequence[str], quant_types: Collection[str] = ()
) -> list[tuple[Profile, Path]]:
    """The profiles in files or of runs, and the files' paths; a run has one for each quant type.

    Args:
        references: Files and runs.
        quant_types: Those that are wanted; empty for all.

    Raises:
        RequestError: There is none, one cannot be read, or none is of a wanted quant type.
    """
    wanted = {x if x == FP8_ATTENTION else check_quant_type(x) for x in quant_types}
    found = [known for reference in references for known in _read_all(reference)]
    there = [profile.conditions.quant_type for profile, _ in found]
    if missing := sorted(wanted - set(there)):
        raise RequestError(
            f"no profile is of {', '.join(missing)}",
            cause=f"there is {', '.join(there)}",
            next_step="name one of these, or profile that one",
            option="--quant-type",
        )
    return [known for known in found if not wanted or known[0].conditions.quant_type in wanted]


def _read_all(reference: str) -> list[tuple[Profile, Path]]:
    path = Path(reference)
    if path.suffix == ".json" or path.is_file():
        return [(read_profile_file(path), path)]
    run = find_run(reference, kinds=("profile",))
    run.refuse_removed()
    request = run.record.request if run.record else None
    if run.snapshot.profile is None or not isinstance(request, ProfileRequest):
        raise RequestError(f"run {run.id} holds no profile", next_step="see: pixart-tui runs")
    if run.state() is not RunState.DONE:
        raise RequestError(
            f"run {run.id} is {run.state()}",
            cause=f"{run.snapshot.done} of {run.snapshot.total} {request.unit} are measured",
            next_step=f"finish it first: pixart-tui resume {run.id}, or attach {run.id}",
        )
    # A quant type that no layer can be quantized to has no file.
    known = [x for x in run.snapshot.profiles if any(s.ssim is not None for s in x.scores())]
    profiles = known or [run.snapshot.profile]
    return [(found, output_of(request, found.conditions.quant_type)) for found in profiles]
