"""Writes the index of ``benchmarks/results/``: each file's command, machine, commit and pages.

    python -m benchmarks.index [--check]

``--check`` writes nothing and exits with 1 if a file is missing in the index, or is there no more.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
INDEX: Final = RESULTS / "README.md"
QUESTIONS: Final = {
    "method": "How well do profiles agree with brute force, and do they carry over?",
    "selection": "What does a selection cost, beside OneDiff's rule, and how fast is it found?",
    "speed": "How fast are the pipeline, its kernels and its memory switches?",
    "cost": "What does a profile cost in time and memory?",
    "reliability": "What does a run survive?",
    "terminal": "What does the dashboard send, and how soon?",
    "model": "How good is the embedded model?",
}
_LISTED: Final = re.compile(r"^\| \[([^\]]+)\]", re.MULTILINE)


def files() -> list[Path]:
    """Every file of results, by folder."""
    found = (path for folder in QUESTIONS for path in sorted((RESULTS / folder).iterdir()))
    return [path for path in found if path.is_file()]


def index() -> str:
    """The index in Markdown."""
    return "".join(_parts())


def _parts() -> Iterator[str]:
    yield "# Results\n\nWritten by `make tables`. Profiles that are evidence lie in "
    yield "`method/profiles/`.\n"
    for folder, question in QUESTIONS.items():
        yield f"\n## {folder}: {question}\n\n"
        yield "| file | command | machine | date | commit | cited by |\n|---|---|---|---|---|---|\n"
        for path in files():
            if path.parent.name == folder:
                yield f"| {' | '.join(_cells(path))} |\n"


def _cells(path: Path) -> Iterator[str]:
    name = f"{path.parent.name}/{path.name}"
    known = json.loads(path.read_text()) if path.suffix == ".json" else {}
    yield f"[{path.name}]({name})"
    yield f"`{known['command']}`" if known.get("command") else _without_command(path)
    yield _machine(known)
    yield str(known.get("date", ""))[:10]
    yield _commit(path)
    yield ", ".join(f"[{page.name}]({_up(page)})" for page in _pages() if name in page.read_text())


def _without_command(path: Path) -> str:
    return "the table of the JSON beside it" if path.suffix == ".md" else "see the file or its page"


def _machine(known: dict[str, Any]) -> str:
    machine, versions = known.get("machine"), known.get("versions")
    if not isinstance(machine, dict):
        return "" if machine is None else str(machine)
    name = machine.get("device_name", machine.get("cpu", ""))
    torch = f", torch {versions['torch']}" if versions and "torch" in versions else ""
    return f"{name}{torch}"


def _commit(path: Path) -> str:
    """The last commit that changed what is in the file; a move is none."""
    command = ["git", "log", "-1", "--follow", "--diff-filter=AM", "--format=%h", "--", str(path)]
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.strip()


def _pages() -> list[Path]:
    return [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def _up(page: Path) -> str:
    return f"../../{page.relative_to(ROOT)}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the index, or with ``--check`` compares its files with those that are there."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if it is stale")
    if not parser.parse_args(arguments).check:
        INDEX.write_text(index(), encoding="utf-8")
        return 0
    listed = set(_LISTED.findall(INDEX.read_text(encoding="utf-8")))
    there = {path.name for path in files()}
    for name in sorted(listed ^ there):
        print(f"{'missing in' if name in there else 'only in'} the index: {name}", file=sys.stderr)
    return 1 if listed != there else 0


if __name__ == "__main__":
    sys.exit(main())
