"""``pixart-tui export``."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

import pixart_tui
from pixart_tui.cli.display.paths import relative
from pixart_tui.cli.display.starting import carry_out
from pixart_tui.cli.display.writing import say, say_document
from pixart_tui.cli.options.common import (
    check_file,
    check_output,
    display_option,
    resolve_device,
)
from pixart_tui.cli.options.rules import (
    RULE_OPTIONS,
    quant_types_option,
    read_profiles,
    rule_of,
    rule_options,
)
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.exporting.formats import (
    CHECKPOINT_RECORD,
    EXPORT_FORMATS,
    WITH_WEIGHTS,
    ExportFormat,
    check_expressible,
    default_export_path,
)
from pixart_tui.domain.files.exporting.snippets import diffusers_model, snippet
from pixart_tui.domain.files.selection_files import selection_record
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.layers.quant_rules import hardware_limit
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.domain.lora import Lora, find_lora
from pixart_tui.domain.requests import ExportRequest, VerifyRequest
from pixart_tui.domain.selecting.candidates import candidates_of
from pixart_tui.domain.selecting.selection import choose
from pixart_tui.machine.devices import default_threads
from pixart_tui.runs.beside import clear_beside
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.files import write_with_companion
from pixart_tui.runs.results.profile_files import read_selection_file
from pixart_tui.runs.run import RunState

_EMBEDDED = Path(pixart_tui.__file__).parent / "assets" / "pixart-emoji"
_PYTHON, _JSON = ".py", ".json"


@click.command(
    epilog="""\b
Examples:
  pixart-tui export last --format onediff --flops-share 0.8
  pixart-tui export fp8_e4m3.selected.json --format torchao
  pixart-tui export fp8_e4m3.selected.json --format onediff --exact-at 90 --output fp8_e4m3.json
  pixart-tui export last --format diffusers --max-loss 0.001 --output checkpoint
  pixart-tui export last --format modelopt --output quant_config.py"""
)
@click.argument("profiles", nargs=-1, required=True, type=click.Path(), metavar="PROFILE...")
@click.option("--format", "export_format", type=click.Choice(EXPORT_FORMATS))
@quant_types_option
@rule_options
@click.option(
    "--exact-at",
    type=float,
    metavar="P",
    help="onediff: a file that gives exactly the selection at top_percentage P, not at 100.",
)
@click.option(
    "--model",
    type=click.Path(),
    metavar="TEXT",
    help="diffusers: where the profiled model is, if it has moved.",
)
@click.option(
    "--lora",
    type=click.Path(path_type=Path),
    help="diffusers: where the profiled LoRA is, if it has moved.",
)
@click.option(
    "--dtype",
    type=click.Choice(("bfloat16", "float32")),
    default="bfloat16",
    show_default=True,
    help="What is not quantized.",
)
@click.option("--device", help="cpu, cuda or cuda:N; by default a GPU if there is one.")
@display_option
@click.option("--output", type=click.Path(path_type=Path), help="A file; diffusers: a directory.")
def export(profiles: tuple[str, ...], **options: Any) -> int:
    """Write a selection for another library, and print how to use it there.

    PROFILE is a profile (a JSON or a run), from which a rule chooses as in select, or a selection
    that is saved or verified already. The formats: OneDiff's JSON, torchao's FqnToConfig, a
    diffusers checkpoint of the transformer, NVIDIA ModelOpt's quant_cfg.
    """
    export_format: ExportFormat | None = options["export_format"]
    if export_format is None:
        known = ", ".join(EXPORT_FORMATS)
        raise RequestError(
            "export needs a --format", cause=f"known: {known}", next_step="name one of them"
        )
    _refuse_unused(export_format, options)
    record, source = _selection(profiles, options)
    check_expressible(record.selection, export_format)
    output = options["output"] or Path(default_export_path(source, export_format))
    device = resolve_device(options["device"])
    if export_format in WITH_WEIGHTS:
        _check_device(record, device)
        exit_code = _write_checkpoint(record, _check_directory(output), device, options)
        if exit_code:
            return exit_code
    else:
        beside, read = (
            _sidecar(output),
            onediff_file.with_companions([source, *map(Path, profiles)]),
        )
        target = check_output(output, beside=[beside], read=read)
        _write_files(record, export_format, target, options["exact_at"])
        say(f"wrote {relative(str(output))}", err=True)
    _print_snippet(record, export_format, output, device, options)
    return 0


def _check_directory(path: Path) -> Path:
    """A directory that can be made, absolute: it is not there yet, or empty.

    Raises:
        RequestError: Something is there, or it cannot be made.
    """
    absolute = path.absolute()
    if absolute.is_dir():
        inside = absolute / CHECKPOINT_RECORD
        clear_beside(inside)
        check_file(inside)
        taken = any(absolute.iterdir())
    else:
        taken = os.path.lexists(absolute)
    if taken:
        raise RequestError(
            f"{path} is there already",
            cause="a checkpoint takes a directory of its own",
            next_step="name another --output, or remove it",
        )
    return absolute if absolute.is_dir() else check_output(absolute)


def _refuse_unused(export_format: ExportFormat, options: Mapping[str, Any]) -> None:
    if options["exact_at"] is not None and export_format != "onediff":
        raise RequestError("--exact-at is for --format onediff", next_step="leave it out")
    for name in ("model", "lora"):
        if options[name] is not None and export_format not in WITH_WEIGHTS:
            raise RequestError(
                f"--{name} is for --format diffusers",
                cause="the other formats hold no weights",
                next_step="leave it out",
            )


def _check_device(record: SelectionSidecar, device: str) -> None:
    """Refuses at once what a CPU cannot quantize; a GPU is asked by the worker."""
    for name in sorted(set(record.selection.assignments.values())):
        limit = hardware_limit(parse_quant_type(name), None) if device == "cpu" else None
        if limit is not None:
            raise RequestError(
                f"a CPU cannot make a checkpoint in {name}",
                cause=limit,
                next_step="export on such a GPU, or --format torchao, which quantizes where "
                "it is loaded",
            )


def _selection(
    references: Sequence[str], options: Mapping[str, Any]
) -> tuple[SelectionSidecar, Path]:
    """Returns the selection to export, and its file."""
    saved = _saved(references[0]) if len(references) == 1 else None
    if saved is not None:
        named = {"quant_types": "quant-type"}
        given = [x for x in (*RULE_OPTIONS, "fused", "quant_types") if options[x]]
        if given:
            raise RequestError(
                f"--{named.get(given[0], given[0]).replace('_', '-')} changes nothing here",
                cause=f"{saved[1]} is a selection already",
                next_step="leave it out, or name the profile",
            )
        return saved
    rule, parameter = rule_of(options)
    found = read_profiles(references, options["quant_types"])
    known = [profile for profile, _ in found]
    selection = choose(candidates_of(known), rule, parameter, fused=options["fused"])
    names = [path.name for _, path in found]
    return selection_record(known, selection, names), found[0][1]


def _saved(reference: str) -> tuple[SelectionSidecar, Path] | None:
    """The selection in a file or of a verification; None where the reference is something else."""
    path = Path(reference)
    if path.suffix != _JSON and not path.is_file():
        run = find_run(reference, kinds=("profile", "verify"))
        request = run.record.request if run.record else None
        if not isinstance(request, VerifyRequest):
            return None
        if run.state() is not RunState.DONE:
            raise RequestError(
                f"run {run.id} is {run.state()}",
                cause="its selection is not verified yet",
                next_step=f"finish it first: pixart-tui resume {run.id}, or attach {run.id}",
            )
        path = Path(request.output)
    record = read_selection_file(path)
    return None if record is None else (record, path)


def _write_files(
    record: SelectionSidecar, export_format: ExportFormat, output: Path, exact_at: float | None
) -> None:
    used_with = None if export_format != "onediff" else exact_at or 100
    known = record.replace(use_with_top_percentage=used_with)
    # Only now: it is the engine's, as torchao's configuration needs torchao.
    from pixart_tui.engine.exporting.texts import export_text

    text = export_text(record, export_format, output, exact_at)
    write_with_companion(output, text, _sidecar(output), sidecar.render(known))


def _sidecar(output: Path) -> Path:
    return Path(onediff_file.sidecar_path(output.with_suffix(_JSON)))


def _write_checkpoint(
    record: SelectionSidecar, output: Path, device: str, options: Mapping[str, Any]
) -> int:
    request = ExportRequest(
        model=options["model"] or record.conditions.model,
        variant=record.conditions.variant,
        lora=_lora(record.conditions.lora, options["lora"]),
        device=device,
        threads=default_threads(),
        record=record,
        dtype=options["dtype"],
        output=str(output),
    )
    # The snippet that follows is the point, so the dashboard opens only if it was asked for.
    display = "plain" if options["display"] == "auto" else options["display"]
    return carry_out(request, display)[1]


def _lora(profiled: Lora | None, path: Path | None) -> Lora | None:
    """The LoRA that was profiled, where it is now."""
    if path is None:
        return profiled
    if profiled is None:
        raise RequestError(
            "the profile is of a model without a LoRA",
            next_step="leave --lora out, or profile again with it",
            option="--lora",
        )
    return find_lora(path, profiled.scale)


def _print_snippet(
    record: SelectionSidecar,
    export_format: ExportFormat,
    output: Path,
    device: str,
    options: Mapping[str, Any],
) -> None:
    text = snippet(
        export_format,
        output,
        record.selection,
        record.conditions,
        model=options["model"] or diffusers_model(record.conditions, _EMBEDDED),
        device=device,
        dtype=options["dtype"],
        top_percentage=options["exact_at"] or 100,
    )
    say_document(text)
