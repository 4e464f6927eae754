from __future__ import annotations

from pathlib import Path, PurePath

import pytest

from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.domain.files.bench_files import bench_companions, is_bench_markdown
from pixart_tui.worker.bench.report import render_markdown

_RESULTS = Path(__file__).parents[3] / "benchmarks" / "results" / "speed"


@pytest.mark.parametrize("name", ["h200-alpha-1024.json", "h100-alpha-1024.json"])
def test_what_a_benchmark_writes_is_known_again(name: str) -> None:
    result = BenchResult.model_validate_json((_RESULTS / name).read_bytes())
    assert is_bench_markdown(render_markdown(result))


@pytest.mark.parametrize("text", ["my notes", "# Title\n\n| a | b |\n| --- | --- |\n| 1 | 2 |\n"])
def test_a_page_of_another_kind_is_not(text: str) -> None:
    assert not is_bench_markdown(text)


def test_files_beside_have_the_stem_of_the_json() -> None:
    markdown, partial = bench_companions(PurePath("a/x.json"))
    assert (str(markdown), str(partial)) == ("a/x.md", "a/x.partial.json")
