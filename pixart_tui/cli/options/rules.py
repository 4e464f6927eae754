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
from pixart_tui.domain.requests import ProfileRequest, output_of
from pixart_tui.domain.selecting.rules import DEFAULT_RULE, RULES, Rule
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.results.profile_files import read_profile_file
from pixart_tui.runs.run import RunState

_Command = TypeVar("_Command", bound=Callable[..., Any])

RULE_OPTIONS: Final = tuple(spec.keyword for spec in RULES.values())
"""The parameters that a rule's options fill; at most one is given."""

_METAVARS: Final = {"percent": "P", "a share": "S"}
_OPTIONS: Final = (
    *(
        click.option(
            f"--{spec.rule}", type=float, metavar=_METAVARS.get(spec.unit, "X"), help=spec.help
        )
        for spec in RULES.values()
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
    values = [(spec.rule, options[spec.keyword]) for spec in RULES.values()]
    given = [(rule, float(value)) for rule, value in values if value is not None]
    if len(given) > 1:
        names = " and ".join(f"--{rule}" for rule, _ in given)
        raise RequestError(f"{names} exclude each other", next_step="give one of them")
    return given[0] if given else (DEFAULT_RULE.rule, DEFAULT_RULE.usual)


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
    run.refuse_damaged()
    request = run.record.request if run.record else None
    if run.snapshot.profiling.profile is None or not isinstance(request, ProfileRequest):
        raise RequestError(f"run {run.id} holds no profile", next_step="see: pixart-tui runs")
    if run.state() is not RunState.DONE:
        raise RequestError(
            f"run {run.id} is {run.state()}",
            cause=f"{run.snapshot.done} of {run.snapshot.total} {request.unit} are measured",
            next_step=f"finish it first: pixart-tui resume {run.id}, or attach {run.id}",
        )
    # A quant type that no layer can be quantized to has no file.
    known = [
        x for x in run.snapshot.profiling.profiles if any(s.ssim is not None for s in x.scores())
    ]
    profiles = known or [run.snapshot.profiling.profile]
    return [(found, output_of(request, found.conditions.quant_type)) for found in profiles]
