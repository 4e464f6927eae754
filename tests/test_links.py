"""Every link between pages leads somewhere, and every result that a page cites exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pytest

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
PAGES: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "pixart_tui").rglob("*.md"),
        RESULTS / "README.md",
    ]
)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")
_RESULT: Final = re.compile(r"`([\w-]+/[\w.-]+\.(?:json|md|svg))`")
_CODE: Final = re.compile(r"^(?: {4}|\t)[^\n]*$|```.*?^```", re.MULTILINE | re.DOTALL)


def _targets(page: Path) -> Iterator[tuple[Path, str]]:
    """Files that a page links to, with the heading's anchor."""
    for target in _LINK.findall(_CODE.sub("", page.read_text(encoding="utf-8"))):
        if not target.startswith(("http:", "https:", "mailto:")):
            path, _, anchor = unquote(target).partition("#")
            yield (page.parent / path if path else page), anchor


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ +(.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target, anchor in _targets(page):
        assert target.exists(), f"{page.name}: {target}"
        assert not anchor or anchor in _anchors(target), f"{page.name}: {target}#{anchor}"


def test_pages_are_there_and_link_to_each_other() -> None:
    linked = {target.resolve() for page in PAGES for target, _ in _targets(page)}
    alone = {page for page in PAGES if page not in linked} - {ROOT / "README.md"}
    assert len(PAGES) > 20
    assert not alone, "no page links to them"


def test_results_that_pages_cite_exist() -> None:
    folders = {path.name for path in RESULTS.iterdir() if path.is_dir()}
    cited = {
        (page.name, name)
        for page in PAGES
        for name in _RESULT.findall(page.read_text(encoding="utf-8"))
        if name.partition("/")[0] in folders
    }
    assert len(cited) > 20
    assert not {(page, name) for page, name in cited if not (RESULTS / name).exists()}
