"""The lines on top of a run's tab: its state, its progress, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from pixart_tui.runs.run import RunState
from pixart_tui.tui.drawing import wording
from pixart_tui.tui.drawing.lines import (
    CellStyle,
    Line,
    Span,
    fit,
    line,
    printable,
    progress_bar,
    spread,
    wrap_path,
)
from pixart_tui.tui.drawing.states import RESUMABLE, state_span
from pixart_tui.tui.state.overview import RunView

_BAR_CELLS: Final = 24
_INDENT: Final = 1
_FILES_NAMED: Final = 2


def state_line(run: RunView, facts: Sequence[str], width: int) -> Line:
    """Mark, state and model on the left, facts after them, the id on the right."""
    left = [Span(" "), state_span(run.state), Span(f"  {run.model}", "title")]
    left += [Span(f"  {fact}", "muted") for fact in facts if fact]
    return spread(left, [Span(f"run {run.id} ", "muted")], width)


def progress_line(run: RunView, noun: str, width: int) -> Line:
    """The bar, how many of how many, and the times."""
    amount = f"{run.done} of {run.total} {noun}" if run.total else f"no {noun} yet"
    times = f"elapsed {wording.duration(run.elapsed_s)} "
    if run.eta_s is not None:
        times = f"ETA {wording.duration(run.eta_s)}  {times}"
    bar = progress_bar(run.fraction, max(_BAR_CELLS, width - 54))
    return spread((Span(" "), *bar, Span(f"  {amount}")), [Span(times)], width)


def stage_line(run: RunView, width: int) -> Line:
    """Where the work is, and what exactly it does there."""
    stage = f" {run.stage}  "
    detail = fit(printable(run.stage_detail), max(width - len(stage), 0))
    return line(Span(stage, "live"), Span(detail, "muted"))


def outcome_lines(run: RunView, width: int) -> list[Line]:
    """Returns the fault and its remedy, or the written file; one line while it works."""
    lines = [_indented(f"! {run.problem}", "warn", width)] if run.problem else []
    if run.state in RESUMABLE:
        return [*lines, *_trouble(run, width)]
    if run.state is RunState.DONE:
        return [*lines, *_written(run, width)]
    return [*lines, stage_line(run, width)]


def _trouble(run: RunView, width: int) -> Iterator[Line]:
    if run.state is RunState.CANCELLED:
        yield _indented("cancelled: r resumes it where it stopped", "muted", width)
    elif run.failure is not None:
        yield _indented(run.failure.title, "bad", width)
        for text in filter(None, (run.failure.cause, run.failure.next_step)):
            yield _indented(text, "muted", width)
        yield _indented("r resumes it once that is mended", "text", width)
    elif run.request is None:
        yield _indented("nothing can go on with it; on tab 1, d deletes it", "muted", width)
    else:
        yield _indented("its worker is gone: r resumes it where it stopped", "warn", width)
        for text in run.log_tail:
            yield _indented(f"log: {text}", "muted", width)


def _written(run: RunView, width: int) -> Iterator[Line]:
    for path in run.written[:_FILES_NAMED]:
        chunks = wrap_path(f"wrote {path}", width - 2 * _INDENT)
        yield from (line(" ", Span(chunk, "good")) for chunk in chunks)
    if (rest := len(run.written) - _FILES_NAMED) > 0:
        yield _indented(f"and {wording.count(rest, 'more file')}", "good", width)


def _indented(text: str, cell_style: CellStyle, width: int) -> Line:
    return line(" ", Span(fit(printable(text), width - 2 * _INDENT), cell_style))
