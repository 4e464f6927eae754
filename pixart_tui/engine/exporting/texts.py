"""A selection as the text of another library's configuration."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import assert_never

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.files.exporting import modelopt, onediff
from pixart_tui.domain.files.exporting.formats import ExportFormat
from pixart_tui.domain.files.sidecar import SelectionSidecar

_PYTHON = ".py"


def export_text(
    record: SelectionSidecar,
    export_format: ExportFormat,
    output: PurePath,
    exact_at: float | None = None,
) -> str:
    """The content of an export's file.

    Args:
        record: The selection.
        export_format: One that holds no weights.
        output: The file's name: ModelOpt has Python and JSON.
        exact_at: For OneDiff, the percentage at which the file gives exactly these layers.

    Raises:
        RequestError: JSON cannot say this ModelOpt configuration.
    """
    selection = record.selection
    match export_format:
        case "onediff":
            if exact_at is not None:
                return onediff.render_exact(record, exact_at)
            return onediff_file.render(record.ssim_by_fqn)
        case "torchao":
            # torchao takes seconds to load.
            from pixart_tui.engine.exporting.torchao_config import config_dict

            return json.dumps(config_dict(selection.assignments), indent=1) + "\n"
        case "modelopt":
            return _modelopt(record, output)
        case "diffusers":
            raise ValueError("a checkpoint is no text")
        case _:
            assert_never(export_format)


def _modelopt(record: SelectionSidecar, output: PurePath) -> str:
    if output.suffix == _PYTHON:
        return modelopt.render_python(record.selection)
    if modelopt.needs_python(record.selection):
        raise RequestError(
            "JSON cannot say this ModelOpt configuration",
            cause="scales per token have a block size whose key is the number -1",
            next_step=f"name a Python file: --output {output.with_suffix(_PYTHON).name}",
        )
    return modelopt.render_json(record.selection)
