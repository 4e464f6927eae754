"""What the tries of a campaign found, one line of a file each."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Final, Literal, get_args

from pixart_tui.domain.values import Value

Fault = Literal["lost", "wrong", "tracebacks", "foreign", "exits", "left", "untold"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
HEADINGS: Final[dict[Fault, str]] = {
    "lost": "lost",
    "wrong": "wrong",
    "tracebacks": "tracebacks",
    "foreign": "others'",
    "exits": "exits",
    "left": "left",
    "untold": "untold",
}


class Finding(Value):
    """One thing that went wrong in a try."""

    fault: Fault
    text: str


class Verdict(Value):
    """What a try found.

    Attributes:
        part: Of the campaign.
        number: Of the try, within its part.
        what: What was tried.
        tries: How often, where it takes milliseconds.
        seconds: How long it took.
        findings: What went wrong.
    """

    part: str
    number: int
    what: str
    tries: int = 1
    seconds: float = 0.0
    findings: tuple[Finding, ...] = ()


class PartResult(Value):
    """The figures of a part."""

    part: str
    tries: int
    planned: int
    seconds: float
    figures: dict[Fault, int]


def append(path: Path, verdict: Verdict) -> None:
    """Adds a line to a file; several processes may."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(handle, verdict.model_dump_json().encode() + b"\n")
    os.close(handle)


def read(path: Path) -> list[Verdict]:
    """Every try that is in a file, in order of part and number."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")[:-1]
    found = {(one.part, one.number): one for one in map(Verdict.model_validate_json, lines)}
    return [found[key] for key in sorted(found)]


def summed(part: str, planned: int, verdicts: list[Verdict]) -> PartResult:
    """The figures of one part."""
    mine = [verdict for verdict in verdicts if verdict.part == part]
    counted = Counter(finding.fault for verdict in mine for finding in verdict.findings)
    return PartResult(
        part=part,
        tries=sum(verdict.tries for verdict in mine),
        planned=planned,
        seconds=round(sum(verdict.seconds for verdict in mine), 1),
        figures={fault: counted[fault] for fault in FAULTS},
    )
