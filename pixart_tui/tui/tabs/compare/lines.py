"""Draws the lines beside the pictures."""

from __future__ import annotations

from collections.abc import Iterator
from textwrap import wrap
from typing import Final

from rich.cells import chop_cells

from pixart_tui.runs.results.pairs import Pair
from pixart_tui.tui.drawing.lines import Line, Span, fit_middle, line, printable, wrap_path
from pixart_tui.tui.drawing.states import state_span
from pixart_tui.tui.state.overview import CompareView
from pixart_tui.tui.state.pair_loading import LoadedPair
from pixart_tui.tui.tabs.run_head import outcome_lines
from pixart_tui.tui.terminal.pictures import ImageMode, Pictures
from pixart_tui.tui.widgets.pair_pictures import FACES, Face

_PROMPT_LINES = 3
_OF_A_BENCHMARK: Final[dict[Face, str]] = {
    "unquantized": "baseline",
    "quantized": "this row",
    "difference": "difference",
}
"""A row need not be quantized."""


def empty_lines(view: CompareView | None, width: int) -> list[Line]:
    """Why there is no picture."""
    if view is not None:
        return [line(), _run_line(view), *outcome_lines(view.run, width), *_nothing_yet(view)]
    notes = (
        "No run has kept pictures yet.",
        "Profiles, benchmarks and verifications keep some;",
        "pixart-tui compare makes more.",
    )
    return [line(), *(line(Span(f" {note}", "muted")) for note in notes)]


def _nothing_yet(view: CompareView) -> Iterator[Line]:
    if not view.run.state.is_finished:
        yield line(Span(" The first pictures come soon.", "muted"))


def pair_lines(
    view: CompareView,
    place: int,
    *,
    shown: Face | None,
    loaded: LoadedPair | None,
    pictures: Pictures,
    width: int,
) -> list[Line]:
    """The run, the pair, its figures, which picture is shown, and where the files are.

    Args:
        view: The run.
        place: Which of its pairs.
        shown: The picture that is shown; None for all three.
        loaded: The pair's files, None before they are read.
        pictures: How pictures are shown here.
        width: Cells.
    """
    pair = view.pairs[place]
    return [
        _run_line(view),
        line(Span(f" {place + 1} of {len(view.pairs)}", "muted")),
        *_names(pair, width),
        *(line(Span(f" {text}")) for text in pair.figures.split("  ")),
        *_faces(view.run.kind, shown, loaded, pictures),
        *_problem(loaded, pictures, width),
        *_files(pair, width),
        *_more(view, width),
    ]


def _run_line(view: CompareView) -> Line:
    run = view.run
    return line(" ", state_span(run.state), Span(f"  {run.kind} {run.id}", "title"))


def _names(pair: Pair, width: int) -> Iterator[Line]:
    for text in wrap(pair.words, max(width - 2, 1), break_long_words=False):
        yield line(Span(f" {fit_middle(text, max(width - 2, 0)).rstrip()}", "title"))
    prompt = chop_cells(printable(pair.prompt), max(width - 2, 1)) or [""]
    for text in prompt[:_PROMPT_LINES]:
        yield line(Span(f" {text}"))
    yield line(Span(f" seed {pair.seed}", "muted"))


def _faces(
    kind: str, shown: Face | None, loaded: LoadedPair | None, pictures: Pictures
) -> Iterator[Line]:
    if pictures.mode is ImageMode.NONE:
        return
    factor = f" x {loaded.factor}" if loaded and loaded.difference else ""
    for face in FACES:
        mark = ">" if shown in (face, None) else " "
        name = _OF_A_BENCHMARK[face] if kind == "bench" else face
        text = f" {mark} {name}{factor if face == 'difference' else ''}"
        yield line(Span(text, "live" if mark == ">" else "muted"))


def _problem(loaded: LoadedPair | None, pictures: Pictures, width: int) -> Iterator[Line]:
    why = pictures.reason or (loaded.problem if loaded else "")
    for text in wrap(printable(why), max(width - 2, 1)):
        yield line(Span(f" {text}", "warn"))


def _files(pair: Pair, width: int) -> Iterator[Line]:
    yield line(Span(" the files are at", "muted"))
    for path in (pair.reference, pair.image):
        yield from (line(Span(f" {text}", "muted")) for text in wrap_path(str(path), width - 2))


def _more(view: CompareView, width: int) -> list[Line]:
    """How a comparison's own run goes; other runs have a tab that says so."""
    return outcome_lines(view.run, width) if view.run.kind == "compare" else []
