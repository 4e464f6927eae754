"""``pixart-tui select``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from pixart_tui.cli.display.selections import print_pareto, print_selection
from pixart_tui.cli.display.starting import carry_out
from pixart_tui.cli.display.writing import say_json
from pixart_tui.cli.options.common import check_output, display_option, resolve_device
from pixart_tui.cli.options.kept_steps import kept_steps_fields, kept_steps_options
from pixart_tui.cli.options.renamed import RenamedOption
from pixart_tui.cli.options.rules import (
    RULE_OPTIONS,
    quant_types_option,
    read_profiles,
    rule_of,
    rule_options,
)
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import mixed_file, onediff_file
from pixart_tui.domain.files.selection_files import selection_files
from pixart_tui.domain.files.text_files import read_prompts
from pixart_tui.domain.layers.steps import KeptSteps
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import VerifyRequest, as_profiled
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.pareto import pareto_curve
from pixart_tui.domain.selecting.problem import SelectionProblem
from pixart_tui.domain.selecting.rules import Rule
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.domain.selecting.verification import ImageSet
from pixart_tui.machine.devices import default_threads
from pixart_tui.runs.files import write_with_companion
from pixart_tui.runs.results.profile_files import read_profile_file

_OF_STEPS: Final = ("keep_steps", "keep_first_steps", "keep_last_steps", "choose_steps")
_OF_VERIFYING: Final = (
    "rounds",
    "compare_onediff",
    "repair_prompts",
    "report_prompts",
    "repair_images",
    "report_images",
    "device",
    "detach",
    "display",
)


@click.command(
    epilog="""\b
Examples:
  pixart-tui select last
  pixart-tui select profiles/pixart-emoji/fp8_e4m3.json --flops-share 0.8
  pixart-tui select last --time-share 0.7
  pixart-tui select fp8_e4m3.json --max-loss 0.001 --output fp8_e4m3.selected.json
  pixart-tui select fp8_e4m3.json int8_dynamic.json --max-loss 0.001 --fused
  pixart-tui select last --quant-type int8_dynamic
  pixart-tui select last --max-loss 0.001 --verify
  pixart-tui select last --pareto"""
)
@click.argument("profiles", nargs=-1, required=True, type=click.Path(), metavar="PROFILE...")
@quant_types_option
@rule_options
@click.option(
    "--format",
    "file_format",
    type=click.Choice(["auto", "onediff"]),
    default="auto",
    show_default=True,
    help="auto: OneDiff's JSON for one quant type, our own for several.",
)
@click.option("--pareto", is_flag=True, help="Print the whole curve, and write nothing.")
@click.option("--verify", is_flag=True, help="Measure all chosen layers at once, and repair.")
@click.option("--rounds", type=click.IntRange(1, 50), default=6, show_default=True)
@kept_steps_options
@click.option(
    "--choose-steps",
    is_flag=True,
    help="Choose also the steps at which nothing is quantized, or only what hardly costs.",
)
@click.option(
    "--compare-onediff",
    cls=RenamedOption,
    old_names=("--seed-rule",),
    is_flag=True,
    help="Verify: measure OneDiff's rule beside.",
)
@click.option(
    "--repair-prompts",
    type=click.Path(path_type=Path),
    help="One prompt a line; - for stdin.",
)
@click.option(
    "--report-prompts",
    type=click.Path(path_type=Path),
    help="One prompt a line; - for stdin.",
)
@click.option("--repair-images", type=click.IntRange(1), default=8, show_default=True)
@click.option("--report-images", type=click.IntRange(2), default=16, show_default=True)
@click.option("--device", help="Verify: cpu, cuda or cuda:N; a GPU if there is one.")
@click.option("--detach", is_flag=True, help="Verify: print the run's id and return.")
@display_option
@click.option("--output", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print the selection as JSON.")
def select(profiles: tuple[str, ...], **options: Any) -> int:
    """Choose the layers to quantize, and to what, from each PROFILE (a JSON, or a run).

    Several profiles, each of another quant type, let every layer have its own; so does a run that
    measured several. Writes a JSON of the chosen layers alone: for one quant type, OneDiff's, for
    top_percentage 100.
    """
    _refuse_unused(options)
    asked = _Asked.of(profiles, options)
    if options["pareto"]:
        return _print_curve(asked, options["as_json"])
    if options["verify"]:
        return _verify(asked, options)
    return _save(asked, options)


def _refuse_unused(options: Mapping[str, Any]) -> None:
    """Refuses options that would change nothing, rather than let a user believe they did."""
    unused: tuple[str, ...]
    if options["pareto"]:
        unused, why = (*RULE_OPTIONS, *_OF_VERIFYING, *_OF_STEPS, "verify", "output"), "--pareto"
    elif options["verify"]:
        unused, why = ("as_json",), "--verify"
    else:
        unused, why = _OF_VERIFYING, ""
    given = [name for name in unused if _is_given(name)]
    if not given:
        return
    names = ", ".join("--" + name.removeprefix("as_").replace("_", "-") for name in given)
    if not why:
        raise RequestError(
            f"{names}: only --verify uses that", next_step="add --verify, or leave it out"
        )
    next_step = "use --display json" if given == ["as_json"] else "leave one of them out"
    raise RequestError(f"{names} changes nothing with {why}", next_step=next_step)


def _is_given(name: str) -> bool:
    source = click.get_current_context().get_parameter_source(name)
    return source is ParameterSource.COMMANDLINE


@dataclass(frozen=True, slots=True)
class _Asked:
    """The profiles and the rule."""

    profiles: tuple[Profile, ...]
    paths: tuple[Path, ...]
    rule: Rule
    parameter: float
    fused: bool
    output: Path

    @classmethod
    def of(cls, references: Sequence[str], options: Mapping[str, Any]) -> _Asked:
        rule, parameter = rule_of(options)
        found = read_profiles(references, options["quant_types"])
        paths = tuple(path for _, path in found)
        output = options["output"] or _default_output(paths)
        known = tuple(profile for profile, _ in found)
        return cls(known, paths, rule, parameter, options["fused"], output)

    @property
    def target(self) -> Path:
        """Where the selection goes, absolute and known to be possible."""
        return check_output(
            self.output,
            beside=[onediff_file.sidecar_path(self.output)],
            read=onediff_file.with_companions(self.paths),
        )


def _save(asked: _Asked, options: Mapping[str, Any]) -> int:
    selection = _case(asked, options).solved()
    if options["file_format"] == "onediff":
        mixed_file.refuse_for_onediff(selection)
    target = asked.target
    write_selection(asked.profiles, selection, [path.name for path in asked.paths], target)
    if options["as_json"]:
        say_json(selection)
    else:
        print_selection(selection, target)
    return 0


def _print_curve(asked: _Asked, as_json: bool) -> int:
    curve = pareto_curve(candidates_of(asked.profiles), fused=asked.fused)
    if as_json:
        say_json(curve)
    else:
        print_pareto(curve)
    return 0


def _verify(asked: _Asked, options: Mapping[str, Any]) -> int:
    conditions = asked.profiles[0].conditions
    if options["file_format"] == "onediff" and any(options[name] for name in _OF_STEPS):
        raise RequestError(
            "OneDiff's JSON quantizes a layer at every step",
            cause="--keep-steps, --keep-first-steps, --keep-last-steps and --choose-steps "
            "keep some",
            next_step="leave --format out to write pixart-tui's own JSON",
        )
    if options["file_format"] == "onediff" and len(asked.profiles) > 1:
        raise RequestError(
            "OneDiff's JSON holds layers of one quant type",
            cause="repairing may take any of those of the profiles",
            next_step="give one quant type, or leave --format out to write pixart-tui's own JSON",
        )
    # Before a worker starts: what can be refused at once is.
    _case(asked, options).solved()
    for profile, path in zip(asked.profiles, asked.paths, strict=True):
        _refuse_another(profile, path)
    seeds = max(conditions.seeds) + 1
    request = VerifyRequest(
        **as_profiled(conditions),
        device=resolve_device(options["device"]),
        threads=default_threads(),
        profiles=tuple(str(path.absolute()) for path in asked.paths),
        rule=asked.rule,
        parameter=asked.parameter,
        fused=asked.fused,
        repairing=_image_set(options["repair_prompts"], seeds),
        reporting=_image_set(options["report_prompts"], seeds + 1),
        repair_images=options["repair_images"],
        report_images=options["report_images"],
        kept_steps=_kept_steps(options, asked),
        choose_steps=options["choose_steps"],
        rounds=options["rounds"],
        onediff_rule=options["compare_onediff"],
        output=str(asked.target),
    )
    return carry_out(request, options["display"], detach=options["detach"])[1]


def _case(asked: _Asked, options: Mapping[str, Any]) -> SelectionProblem:
    """The question that is asked of the profiles."""
    kept, effects = _kept_steps(options, asked), None
    if kept or options["choose_steps"]:
        # Only now: numpy and the file take a moment, and most selections keep no step.
        from pixart_tui.runs.results.step_effects import read_step_effects

        effects = read_step_effects(asked.paths)
    return SelectionProblem(
        candidates=candidates_of(asked.profiles),
        rule=asked.rule,
        parameter=asked.parameter,
        fused=asked.fused,
        steps=asked.profiles[0].conditions.calls,
        kept_steps=kept,
        choose_steps=options["choose_steps"],
        effects=effects,
    )


def _kept_steps(options: Mapping[str, Any], asked: _Asked) -> KeptSteps:
    kept = kept_steps_fields(options)
    kept.check_leaves_some(asked.profiles[0].conditions.calls)
    return kept


def _refuse_another(profile: Profile, path: Path) -> None:
    """The worker reads the file, which a later run may have replaced since."""
    there = read_profile_file(path)
    # Not the profiles as a whole: a file's scores stand in for the effects that a run holds.
    if (there.conditions, there.scores()) != (profile.conditions, profile.scores()):
        raise RequestError(
            f"{path} holds another profile now",
            cause="another run has written it since",
            next_step=f"verify that one: pixart-tui select {path} --verify; or profile again",
        )


def _image_set(prompts: Path | None, seed: int) -> ImageSet | None:
    return ImageSet(prompts=read_prompts(prompts), seeds=(seed,)) if prompts else None


def write_selection(
    profiles: Sequence[Profile], selection: Selection, names: Sequence[str], target: Path
) -> None:
    """Writes a selection's JSON and its sidecar.

    Raises:
        RequestError: Nothing was chosen.
        WorkError: The files cannot be written.
    """
    if not selection.chosen:
        raise RequestError(
            f"--{selection.rule} {selection.parameter:g} chooses no layer",
            cause="OneDiff cannot use a file without layers",
            next_step="ask for more",
        )
    layers, meta = selection_files(profiles, selection, names)
    write_with_companion(target, layers, Path(onediff_file.sidecar_path(target)), meta)


def _default_output(paths: Sequence[Path]) -> Path:
    """``mixed.selected.json`` beside the first of several profiles."""
    first = paths[0] if len(paths) == 1 else paths[0].with_name("mixed.json")
    return Path(onediff_file.selected_path(first))
