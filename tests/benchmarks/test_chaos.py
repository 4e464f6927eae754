"""The chaos campaign in its short form: the parts that take milliseconds a try, and a few kills."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.chaos.findings import FAULTS, Finding, Verdict, append, read, summed

_ROOT = Path(__file__).parents[2]
_NEEDS_GCC = pytest.mark.skipif(shutil.which("gcc") is None, reason="the shim is built by gcc")


def _campaign(place: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.chaos", "--place", str(place), *arguments]
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    output = place / "chaos.json"
    subprocess.run([*command, "--output", str(output)], check=True, cwd=_ROOT, env=environment)
    found: dict[str, Any] = json.loads(output.read_bytes())
    return found


@_NEEDS_GCC
def test_nothing_is_lost_in_a_short_campaign(tmp_path: Path) -> None:
    found = _campaign(tmp_path, "--short")
    tries = {part["part"]: part["tries"] for part in found["parts"]}
    assert tries["journals"] > 10
    assert min(tries.values()) > 0
    unharmed = ("lost", "wrong", "tracebacks", "foreign", "exits")
    failed = [
        (verdict["part"], verdict["number"], finding["text"])
        for verdict in found["failed"]
        for finding in verdict["findings"]
        if finding["fault"] in unharmed
    ]
    assert failed == []
    assert found["machine"]["cpu_cores"]
    assert "--short" in found["command"]


def test_a_campaign_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "tries.jsonl"
    lost = Finding(fault="lost", text="a layer")
    first = Verdict(part="workers", number=2, what="", seconds=1.5, findings=(lost, lost))
    append(path, first)
    append(path, Verdict(part="workers", number=1, what="", tries=7))
    with path.open("ab") as file:
        file.write(b'{"part": "workers", "num')  # killed here
    assert [verdict.number for verdict in read(path)] == [1, 2]
    row = summed("workers", 9, read(path))
    assert (row.tries, row.planned, row.seconds) == (8, 9, 1.5)
    assert row.figures == {fault: 2 * (fault == "lost") for fault in FAULTS}
