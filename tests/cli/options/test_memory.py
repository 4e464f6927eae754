"""The memory switches of ``bench``: what they ask for, and what is refused before any work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.cli.options.memory import check_memory
from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.runs.paths import runs_root

_SWITCHES = ("--text-encoder-8bit", "--text-encoder-host-blocks", "1", "--vae", "strips")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--memory-budget", "6", "--vae", "strips"], "exclude each other"),
        (["--memory-budget", "6", "--device", "cpu"], "needs a GPU"),
        (["--memory-budget", "0"], "0.0"),
        (["--text-encoder-host-blocks", "-1"], "-1"),
        (["--vae", "stripes"], "stripes"),
        (["--compiler", "none", "--vae", "strips"], "no row would take"),
        (["--matrix", "onediff", "--rows", "torch-fp8", "--vae", "strips"], "no row would take"),
    ],
)
def test_what_cannot_be_is_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert said in printed.err
    assert len(printed.err.splitlines()) <= 5
    assert not runs_root().exists()


def test_a_matrix_with_its_memory_row_takes_them() -> None:
    memory = MemoryOptions(vae="strips")
    check_memory(BenchRequest(matrix="onediff", memory=memory))
    check_memory(BenchRequest(matrix="onediff", rows=("torch-fp8-memory",), memory=memory))
    check_memory(BenchRequest(device="cuda:0", memory=MemoryOptions(budget_bytes=1)))
    with pytest.raises(RequestError, match="no row"):
        check_memory(BenchRequest(matrix="onediff", rows=("torch",), memory=memory))


def test_the_switches_reach_the_row(tmp_path: Path) -> None:
    """On the CPU for real: int8, blocks on the host, strips."""
    output = tmp_path / "bench.json"
    size = ("--height", "64", "--width", "64", "--steps", "2", "--repeats", "1", "--no-cold")
    model = ("--model", "synthetic:alpha-tiny", "--device", "cpu", "--display", "none")
    arguments = ["bench", *model, *size, *_SWITCHES, "--json", str(output)]
    assert main(arguments) == 0
    rows = {row.label: row for row in BenchResult.model_validate_json(output.read_text()).rows}
    assert set(rows) == {"none", "compile+int8-t5+host-t5-1+strips-vae"}
    row = rows["compile+int8-t5+host-t5-1+strips-vae"]
    assert row.error == ""
    assert row.case.memory == "int8-t5+host-t5-1+strips-vae"
    assert row.figures.ssim is not None
    assert row.figures.ssim > 0.9
    assert row.figures.images_equal is False
    assert json.loads(output.read_text())["rows"][0]["memory"] == ""
