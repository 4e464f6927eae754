"""A report as Markdown, for a README or an issue."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from pixart_tui.domain.plain_text import visible
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.selecting.pareto import Curve
from pixart_tui.reporting.bench_table import BenchTable, to_markdown
from pixart_tui.reporting.content import (
    DECADE_LEGEND,
    Measured,
    Report,
    decade,
    headings,
    in_blocks,
    profile_notes,
    provenance,
    ranked_table,
    step_table,
    verification_lines,
)

_SHOWN = 20
_SPECIAL = re.compile(r"([\\`*_\[\]<>#|~])")


def render_markdown(report: Report) -> str:
    """The whole text."""
    return "\n\n".join([f"# {escaped(report.title)}", *_sections(report)]) + "\n"


def escaped(text: str) -> str:
    """User text that stays text: no markup, no HTML, no line of its own."""
    return _SPECIAL.sub(r"\\\1", " ".join(visible(text).split()))


def _sections(report: Report) -> Iterator[str]:
    if report.selection is not None and report.verification is not None:
        lines = verification_lines(report.selection, report.verification)
        yield f"## Verified selection\n\n{_list(lines)}"
    for heading, measured in headings(report, "Where the model is sensitive"):
        yield f"## {escaped(heading)}\n\n{_heat_map(measured.profile)}"
    yield from _by_step(report)
    for heading, measured in headings(report, "Layers, most sensitive first"):
        yield f"## {escaped(heading)}\n\n{_ranked(measured)}"
    for heading, measured in headings(report, "What each share costs, predicted"):
        if measured.curve is not None:
            yield f"## {escaped(heading)}\n\n{_curve(measured.curve)}"
    if report.bench is not None:
        notes = _list(report.bench_notes)
        found = report.bench
        rows = [(label, *cells) for label, cells in found.lines]
        table = _table((found.corner, *found.columns), rows)
        yield f"## Benchmark\n\n{table}" + (f"\n\n{notes}" if notes else "")
    facts = (f"- {label}: {_fact(label, value)}" for label, value in provenance(report))
    yield "## Where the figures come from\n\n" + "\n".join(facts)


def _fact(label: str, value: str) -> str:
    """A command stands as it would be typed."""
    return code(value) if label == "command" else escaped(value)


def code(text: str) -> str:
    """Text as a code span, fenced by more backticks than it holds in a row."""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence} {' '.join(visible(text).split())} {fence}"


def _list(lines: Sequence[str] | Iterator[str]) -> str:
    return "\n".join(f"- {escaped(line)}" for line in lines)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    corner, *columns = map(escaped, headings)
    lines = tuple((escaped(name), tuple(map(escaped, cells))) for name, *cells in rows)
    return to_markdown(BenchTable(tuple(columns), lines, corner=corner)).rstrip()


def _heat_map(profile: Profile) -> str:
    kinds, blocks, outside = in_blocks(profile)
    rows = [
        (str(block), *(decade(found.get(kind)) for kind in kinds))
        for block, found in blocks.items()
    ]
    others = [(score.layer.fqn, decade(score)) for score in outside]
    return "\n\n".join(
        [
            escaped(DECADE_LEGEND),
            _table(("block", *kinds), rows),
            _table(("outside the blocks", "level"), others),
        ]
    )


def _by_step(report: Report) -> Iterator[str]:
    for heading, measured in headings(report, "Effect by step"):
        if measured.steps is not None:
            columns, rows = step_table(measured.profile, measured.steps)
            table = _table(columns, rows)
            yield f"## {escaped(heading)}\n\n{escaped(measured.steps.summary)}\n\n{table}"


def _curve(curve: Curve) -> str:
    points = [("selected", x) for x in curve.ours]
    points += [("OneDiff's rule", x) for x in curve.onediff_rule]
    rows = [(n, f"{p.share:.1%}", str(p.layers), f"{p.predicted:.2e}") for n, p in points]
    return _table(("", "share", "layers", "1-SSIM"), rows)


def _ranked(measured: Measured) -> str:
    columns, rows = ranked_table(measured.profile)
    notes = list(profile_notes(measured))
    if len(rows) > _SHOWN:
        notes.append(f"and {len(rows) - _SHOWN} less sensitive layers")
    return f"{_table(columns, rows[:_SHOWN])}\n\n{_list(notes)}"
