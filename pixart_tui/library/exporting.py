"""Writing a selection for other libraries, and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.exporting.formats import (
    WITH_WEIGHTS,
    ExportFormat,
    check_expressible,
)
from pixart_tui.domain.files.selection_files import selection_record
from pixart_tui.domain.layers.quant_types import DtypeName
from pixart_tui.domain.requests import ExportRequest
from pixart_tui.domain.selecting.selection import Selection
from pixart_tui.engine.exporting.texts import export_text
from pixart_tui.library.following import carry_out
from pixart_tui.library.profiling import OnEvent, Source, profile_of, sources
from pixart_tui.machine.devices import default_device, default_threads
from pixart_tui.reporting.html import render_html
from pixart_tui.reporting.markdown import render_markdown
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.files import write_atomically, write_with_companion
from pixart_tui.runs.results.reporting import report_of_file, report_of_run


def export(
    selection: Selection,
    profiles: Source | Sequence[Source],
    output: str | Path,
    *,
    format: ExportFormat,
    model: str | None = None,
    dtype: DtypeName = "bfloat16",
    device: str | None = None,
    on_event: OnEvent | None = None,
) -> Path:
    """Writes a selection for another library.

    Args:
        selection: The layers.
        profiles: The profiles that it was made from.
        output: The file; for ``diffusers`` a directory that is empty or not there yet.
        format: ``onediff``, ``torchao``, ``diffusers`` (a checkpoint) or ``modelopt``.
        model: The model of the checkpoint, where it is not the profile's.
        dtype: The checkpoint's dtype of what is not quantized.
        device: Where the checkpoint is quantized; a GPU if there is one.
        on_event: Called with each event of the worker that writes a checkpoint.

    Returns:
        What was written; a sidecar stands beside a file.

    Raises:
        RequestError: The format cannot say this selection.
        WorkError: It cannot be written.
    """
    check_expressible(selection, format)
    known = [profile_of(source) for source in sources(profiles)]
    names = [f"{profile.conditions.quant_type}.json" for profile in known]
    record = selection_record(known, selection, names)
    path = Path(output)
    if format not in WITH_WEIGHTS:
        used_with = 100 if format == "onediff" else None
        written = sidecar.render(record.replace(use_with_top_percentage=used_with))
        beside = Path(onediff_file.sidecar_path(path.with_suffix(".json")))
        write_with_companion(path, export_text(record, format, path), beside, written)
        return path
    if path.is_dir() and any(path.iterdir()):
        raise RequestError(
            f"{path} is there already",
            cause="a checkpoint takes a directory of its own",
            next_step="name another, or remove it",
        )
    request = ExportRequest(
        model=model or record.conditions.model,
        variant=record.conditions.variant,
        lora=record.conditions.lora,
        device=device or default_device(),
        threads=default_threads(),
        record=record,
        dtype=dtype,
        output=str(path.absolute()),
    )
    carry_out(request, on_event)
    return path


def report(source: str | Path, output: str | Path) -> Path:
    """Writes a report to share: HTML that fetches nothing, or Markdown if the name ends in ``.md``.

    Args:
        source: A profile's JSON, or the id of a run.
        output: The file.

    Raises:
        RequestError: There is no such run or profile, or it holds nothing.
        WorkError: The file cannot be written.
    """
    path, target = Path(source), Path(output)
    is_file = path.suffix == ".json" or path.is_file()
    found = report_of_file(path) if is_file else report_of_run(find_run(str(source)))
    render = render_markdown if target.suffix == ".md" else render_html
    write_atomically(target, render(found))
    return target
