"""Writes the benchmark tables of the README and of ``docs/`` from the files that hold the figures.

    python -m benchmarks.readme_tables [--check]

A table stands between ``<!-- bench:FILE -->`` and ``<!-- /bench -->``, FILE being a name in
``benchmarks/results/``. Several files, with commas between them, make one table of several
matrices; those that do not exist yet are left out. ``<!-- summary:FILE#ROW=LABEL,...;FILE#... -->``
makes one short table of some rows. ``--check`` writes nothing and exits with 1 if a page is not
what the files say.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.reporting.bench_table import BenchTable, matrix_table, table_of, to_markdown

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = ROOT / "benchmarks" / "results"

_BETWEEN: Final = re.compile(r"(<!-- bench:(\S+) -->\n).*?(<!-- /bench -->)", re.DOTALL)
_SUMMARY: Final = re.compile(r"(<!-- summary:(.+?) -->\n).*?(<!-- /summary -->)", re.DOTALL)
_COLUMNS: Final = ("it/s", "E2E, s", "memory, GiB", "SSIM")


def pages(root: Path = ROOT) -> list[Path]:
    """The pages that may hold tables."""
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def with_tables(page: str, results: Path = RESULTS) -> str:
    """A page's text with its tables as the files have them.

    Args:
        page: The text.
        results: Where the files are.

    Raises:
        FileNotFoundError: A table of one file, which is not there.
    """

    def table(match: re.Match[str]) -> str:
        return match[1] + _table(match[2].split(","), results) + match[3]

    def summary(match: re.Match[str]) -> str:
        return match[1] + to_markdown(_summary(match[2].split(";"), results)) + match[3]

    return _SUMMARY.sub(summary, _BETWEEN.sub(table, page))


def _summary(wanted: Sequence[str], results: Path) -> BenchTable:
    """Some rows of some files, ``FILE#ROW=LABEL,...`` each, with the figures that matter most."""
    lines: list[tuple[str, tuple[str, ...]]] = []
    for part in wanted:
        name, _, rows = part.partition("#")
        table = matrix_table(_read(results / name).rows)
        places = [table.columns.index(column) for column in _COLUMNS]
        cells = dict(table.lines)
        for row, label in (x.split("=") for x in rows.split(",")):
            lines.append((label, tuple(cells[row][at] for at in places)))
    return BenchTable(columns=_COLUMNS, lines=tuple(lines), corner="Row")


def _table(names: Sequence[str], results: Path) -> str:
    paths = [results / name for name in names]
    if len(paths) == 1:
        result = _read(paths[0])
        return _caption(result, names[0]) + to_markdown(table_of(result))
    found = {path.name: _read(path) for path in paths if path.exists()}
    if not found:
        return ""
    captions = "".join(_caption(result, name) for name, result in found.items())
    return captions + to_markdown(matrix_table(*(result.rows for result in found.values())))


def _read(path: Path) -> BenchResult:
    return BenchResult.model_validate_json(path.read_bytes())


def _caption(result: BenchResult, name: str) -> str:
    """What a matrix was measured on; the text around a plain table says it for that."""
    if not result.matrix:
        return ""
    case = result.rows[0].case
    return (
        f"`{case.model}`, {case.width} x {case.height}, {case.steps} steps, {case.dtype}, on "
        f"{result.machine.summary}, torch {result.versions['torch']}, {result.date[:10]}; file "
        f"`benchmarks/results/{name}`, made by `{result.command}`.\n\n"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the pages that are stale, or with ``--check`` names them."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; 1 if a page is stale")
    check: bool = parser.parse_args(arguments).check
    texts = {page: page.read_text(encoding="utf-8") for page in pages()}
    stale = {page: new for page, text in texts.items() if (new := with_tables(text)) != text}
    for page, text in stale.items():
        print(f"{'stale' if check else 'wrote'}: {page.relative_to(ROOT)}", file=sys.stderr)
        if not check:
            page.write_text(text, encoding="utf-8")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
