"""Copies of the embedded model that step with another scheduler."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers

from pixart_tui.engine.loading.embedded import embedded_directory


def model_with_scheduler(
    folder: Path, kind: str, defaults: Mapping[str, Any] | None = None, **config: Any
) -> str:
    """Makes such a copy, whose files are links but for three.

    Args:
        folder: Where it goes; it is not there yet.
        kind: The scheduler's class; diffusers may lack what it needs.
        defaults: What its ``pixart_tui.json`` says besides.
        config: What differs from the scheduler's configuration.

    Returns:
        The copy's path.
    """
    shutil.copytree(embedded_directory(), folder, copy_function=os.symlink)
    scheduler = getattr(diffusers, kind)
    own = diffusers.DPMSolverMultistepScheduler().config
    try:
        made = dict(scheduler.from_config(own, **config).config)
    except ImportError:
        made = dict(own)
    _replace(folder / "scheduler/scheduler_config.json", made | {"_class_name": kind})
    _edit(folder / "model_index.json", {"scheduler": ["diffusers", kind]})
    _edit(folder / "pixart_tui.json", defaults or {})
    return str(folder)


def _edit(file: Path, changes: Mapping[str, Any]) -> None:
    _replace(file, json.loads(file.read_text()) | changes)


def _replace(file: Path, value: Mapping[str, Any]) -> None:
    # Not through the link, which is the embedded model's own file.
    file.unlink()
    file.write_text(json.dumps(value))
