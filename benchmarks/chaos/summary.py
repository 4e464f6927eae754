"""The campaign's table, and its file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.chaos.campaign import Campaign
from benchmarks.chaos.findings import FAULTS, HEADINGS, PartResult, Verdict, summed
from pixart_tui.engine.machine import describe_machine, describe_versions


def results(campaign: Campaign, verdicts: list[Verdict]) -> list[PartResult]:
    """The figures of each part."""
    planned = [name for name, _ in campaign.wanted]
    return [summed(part.name, planned.count(part.name), verdicts) for part in campaign.parts]


def print_table(campaign: Campaign, verdicts: list[Verdict]) -> None:
    """Prints a row a part, and their sum."""
    table = Table("part", "tries", *(HEADINGS[fault] for fault in FAULTS), "seconds")
    found = results(campaign, verdicts)
    for part, row in zip(campaign.parts, found, strict=True):
        figures = [str(row.figures[fault]) for fault in FAULTS]
        table.add_row(Text(part.title), str(row.tries), *figures, f"{row.seconds:.0f}")
    totals = [str(sum(row.figures[fault] for row in found)) for fault in FAULTS]
    seconds = sum(row.seconds for row in found)
    table.add_section()
    table.add_row("all", str(sum(row.tries for row in found)), *totals, f"{seconds:.0f}")
    Console().print(table)


def write(
    path: Path, campaign: Campaign, verdicts: list[Verdict], arguments: Sequence[str]
) -> None:
    """Writes the figures, and each try in which something went wrong."""
    names = {part.name for part in campaign.parts}
    record = {
        "machine": describe_machine(torch.device("cpu")).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join(["python", "-m", "benchmarks.chaos", *arguments]),
        "seed": campaign.seed,
        "parts": [row.model_dump() for row in results(campaign, verdicts)],
        "failed": [
            verdict.model_dump(exclude={"seconds"})
            for verdict in verdicts
            if verdict.findings and verdict.part in names
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
