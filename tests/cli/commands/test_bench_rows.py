from __future__ import annotations

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.benchmarks.matrix import MATRIX


def test_the_matrixs_rows_are_listed_one_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--matrix", "onediff", "--list-rows"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [row.name for row in MATRIX]
    assert all(len(line.split()) > 2 for line in lines)
