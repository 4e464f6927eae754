from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.readme_tables import RESULTS, main, with_tables
from pixart_tui.domain.benchmarks.rows import BenchResult

_STORED = "speed/h200-alpha-1024.json"


def _page(names: str, content: str = "") -> str:
    return f"before\n<!-- bench:{names} -->\n{content}<!-- /bench -->\nafter\n"


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A plain result, and two matrices of different models."""
    stored = BenchResult.model_validate_json((RESULTS / _STORED).read_bytes())
    (tmp_path / "plain.json").write_text(stored.model_dump_json())
    for model in ("alpha", "sigma"):
        rows = tuple(
            r.replace(case=r.case.replace(model=f"synthetic:{model}")) for r in stored.rows
        )
        matrix = stored.replace(matrix="seed", rows=rows, command="make it")
        (tmp_path / f"{model}.json").write_text(matrix.model_dump_json())
    return tmp_path


def test_the_pages_say_what_the_files_say() -> None:
    assert main(["--check"]) == 0, "run: make tables"


def test_a_figure_that_was_changed_by_hand_is_found(results: Path) -> None:
    right = with_tables(_page("plain.json"), results)
    wrong = right.replace("31.758", "41.758")
    assert "31.758 it/s (+15.0%)" in right
    assert with_tables(wrong, results) == right != wrong
    assert right.startswith("before\n")
    assert right.endswith("<!-- /bench -->\nafter\n")


def test_a_matrix_says_what_it_was_measured_on_and_how(results: Path) -> None:
    page = with_tables(_page("alpha.json"), results)
    assert "`synthetic:alpha`, 1024 x 1024, 20 steps, bfloat16, on NVIDIA H200" in page
    assert "made by `make it`" in page
    assert "| compile | 31.758 (1.15x) |" in page


def test_several_files_make_one_table_and_absent_ones_are_left_out(results: Path) -> None:
    page = with_tables(_page("alpha.json,absent.json,sigma.json"), results)
    assert page.count("| Row |") == 1
    assert "| alpha: compile | 31.758 (1.15x) |" in page
    assert "| sigma: compile | 31.758 (1.15x) |" in page
    assert with_tables(_page("absent.json,gone.json", "| old |\n"), results) == _page(
        "absent.json,gone.json"
    )


def test_a_table_of_one_file_needs_the_file(results: Path) -> None:
    with pytest.raises(FileNotFoundError):
        with_tables(_page("absent.json"), results)


def test_a_summary_has_the_rows_that_it_names_under_its_own_labels(results: Path) -> None:
    names = "alpha.json#none=eager;sigma.json#compile=stock"
    page = with_tables(f"<!-- summary:{names} -->\nold\n<!-- /summary -->\n", results)
    head, _, eager, stock = page.splitlines()[1:5]
    assert head == "| Row | it/s | E2E, s | memory, GiB | SSIM |"
    assert eager.startswith("| eager | 27.606 |")
    assert stock.startswith("| stock | 31.758 (1.15x) |")
    assert "old" not in page
