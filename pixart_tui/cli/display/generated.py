"""Prints a generation's result: the lines of OneDiff's script, and its images in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pixart_tui.cli.display.paths import relative
from pixart_tui.cli.display.writing import console, say
from pixart_tui.domain.deploying.deployment import ONEDIFF_BACKENDS
from pixart_tui.domain.events.roles import Role
from pixart_tui.domain.generation import result_lines
from pixart_tui.domain.requests import GenerateRequest
from pixart_tui.runs.run import Run

_PICTURE_COLUMNS: Final = 80


def print_generation(run: Run, request: GenerateRequest) -> None:
    """The script's lines on stdout, the images if they were asked for, the file on stderr."""
    plan = run.snapshot.generation.plan
    if plan is None:
        return
    backend = request.compiler if request.compiler in ONEDIFF_BACKENDS else ""
    saved = request.output is not None
    for text in result_lines(plan, run.snapshot.generation.calls, saved=saved, backend=backend):
        _say(text)
    if request.print_output:
        for path in _images(run, request):
            _show(path)
    if any(artifact.role == Role.OUTPUT_IMAGE for artifact in run.snapshot.artifacts):
        say(f"wrote {relative(str(request.output))}", err=True)


def _say(text: str) -> None:
    """A line on stdout, as it is; Rich leaves quietly where its reader has gone."""
    console().print(text, highlight=False, soft_wrap=True)


def _images(run: Run, request: GenerateRequest) -> Iterator[Path]:
    """Every image of the batch; the first one where the user wanted it."""
    made = dict.fromkeys(a.path for a in run.snapshot.artifacts if a.role == Role.IMAGE)
    for index, path in enumerate(made):
        own = run.paths.directory / path
        yield Path(request.output) if request.output is not None and index == 0 else own


def _show(path: Path) -> None:
    """An image and its path in a terminal; the path alone anywhere else."""
    if not sys.stdout.isatty():
        _say(str(path))
        return
    from pixart_tui.tui.terminal.pictures import ImageMode, choose_pictures, picture

    pictures = choose_pictures(ImageMode.AUTO, os.environ)
    console().print(picture(path, _PICTURE_COLUMNS, pictures))
