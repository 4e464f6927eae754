"""A benchmark as lines: the head, OneDiff's table, and what there is to say about its cases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pixart_tui.domain.benchmarks.rows import BenchRow, RowStatus, describe_warmups
from pixart_tui.reporting.bench_table import (
    BENCH_FAILED,
    BENCH_SIMULATED,
    BenchTable,
    bench_table,
    split_change,
)
from pixart_tui.runs.run import RunState
from pixart_tui.tui.drawing import glyphs, wording
from pixart_tui.tui.drawing.gauge_lines import gauges_line
from pixart_tui.tui.drawing.lines import CellStyle, Line, Span, fit, fit_right, line, printable
from pixart_tui.tui.drawing.states import row_mark
from pixart_tui.tui.state.overview import BenchView
from pixart_tui.tui.tabs.bench.columns import Group, Layout, groups_of
from pixart_tui.tui.tabs.bench.pace_line import pace_line
from pixart_tui.tui.tabs.bench.warmup_lines import warmup_lines
from pixart_tui.tui.tabs.run_head import outcome_lines, progress_line, state_line


def head_lines(view: BenchView, width: int) -> list[Line]:
    """State, progress, phase or outcome, the machine, and what it does while it works."""
    lines = [state_line(view.run, _facts(view.rows), width)]
    lines += [progress_line(view.run, "cases", width), *outcome_lines(view.run, width)]
    if view.machine is not None:
        lines.append(line(Span(fit(f" {view.machine.summary}", width), "muted")))
    lora = view.rows[0].case.lora if view.rows else None
    if lora is not None:
        lines.append(line(Span(fit(printable(f" LoRA {lora.whole_words}"), width), "muted")))
    if view.run.state is RunState.RUNNING:
        lines += _live_lines(view, width)
    lines.append(line())
    return lines if view.warmup is None else [*lines, *warmup_lines(view.warmup, width)]


def _live_lines(view: BenchView, width: int) -> list[Line]:
    running = next((row.label for row in view.rows if row.status is RowStatus.RUNNING), None)
    pace = view.live.pace if view.live else None
    return [gauges_line(view.live, width), pace_line(pace, running, width)]


def body_lines(view: BenchView, width: int) -> list[Line]:
    """The table, in as many parts as the width asks for, and notes on the cases."""
    table = bench_table(view.rows)
    lines: list[Line] = []
    for group in groups_of(table, width):
        lines += [*_group_lines(table, group, view.rows), line()]
    return [*lines, *_note_lines(view.rows, width)]


def _facts(rows: Sequence[BenchRow]) -> list[str]:
    if not rows:
        return []
    row = rows[0]
    return [
        f"{row.case.width}x{row.case.height}",
        wording.count(row.case.steps, "step"),
        row.case.dtype,
    ]


def _group_lines(table: BenchTable, group: Group, rows: Sequence[BenchRow]) -> Iterator[Line]:
    yield from _title_lines(group, rows)
    for label, cells in table.lines:
        shown = [cells[index] for index in group.cases]
        if group.layout.stacked:
            yield from _stacked_lines(label, shown, group.layout)
        else:
            yield _cells_line(label, shown, group.layout)


def _title_lines(group: Group, rows: Sequence[BenchRow]) -> Iterator[Line]:
    marks = [row_mark(rows[index].status) for index in group.cases]
    height = max(len(title) for title in group.titles)
    for number in range(height):
        spans = [Span(" " + fit("" if number else "metric", group.layout.label), "head")]
        for title, mark in zip(group.titles, marks, strict=True):
            spans += _title_spans(title[number] if number < len(title) else "", mark, number, group)
        yield tuple(spans)


def _title_spans(text: str, mark: Span, number: int, group: Group) -> list[Span]:
    lead = f"{mark.text} " if number == 0 else ""
    pad = " " * (group.layout.column - len(lead) - len(text))
    return [Span(pad), Span(lead, mark.cell_style), Span(text, "head")]


def _cells_line(label: str, cells: Sequence[str], layout: Layout) -> Line:
    spans = [Span(" " + fit(label, layout.label), "muted")]
    for cell in cells:
        spans.append(Span(fit_right(cell, layout.column), _cell_style(cell)))
    return tuple(spans)


def _stacked_lines(label: str, cells: Sequence[str], layout: Layout) -> Iterator[Line]:
    """The figures, and below them the percentages if there are any."""
    pairs = [split_change(cell) for cell in cells]
    yield _cells_line(label, [figure for figure, _ in pairs], layout)
    if any(change for _, change in pairs):
        spans = [Span(fit_right(change, layout.column), "live") for _, change in pairs]
        yield (Span(" " * (layout.label + 1)), *spans)


def _cell_style(cell: str) -> CellStyle:
    if cell == BENCH_FAILED:
        return "bad"
    return "warn" if cell == BENCH_SIMULATED else "text"


@dataclass(frozen=True, slots=True)
class _Note:
    label: str
    text: str
    cell_style: CellStyle


def _note_lines(rows: Sequence[BenchRow], width: int) -> Iterator[Line]:
    for note in _notes(rows):
        text = fit(f"{note.label}: {printable(note.text)}", width - 2)
        yield line(" ", Span(text, note.cell_style))


def _notes(rows: Sequence[BenchRow]) -> Iterator[_Note]:
    for row in rows:
        if row.status is RowStatus.FAILED:
            yield _Note(f"{glyphs.FAILED} {row.label}", row.error or "failed", "bad")
        if row.execution_note:
            cell_style: CellStyle = "warn" if row.case.is_simulated else "muted"
            yield _Note(f"{row.label} {row.case.execution}", row.execution_note, cell_style)
        if row.case.quantized_layers:
            chosen = f", {row.case.selection}" if row.case.selection else ""
            kept = f"; {row.case.kept_note}" if row.case.kept_note else ""
            yield _Note(row.label, f"{row.case.layers_words} quantized{chosen}{kept}", "muted")
        yield from (_Note(row.label, text, "muted") for text in describe_warmups(row))
