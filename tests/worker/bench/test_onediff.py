"""A benchmark's row of nexfort: the real onediffx in a child process, and a recording stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.domain.benchmarks.rows import BenchRow, RowStatus
from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.catalogue import find_run
from tests.stand_ins import nexfort
from tests.worker.bench_runs import new_run, work

_LAYERS = ("transformer_blocks.0.attn1.to_q", "proj_out")


@pytest.mark.real_processes
def test_nexfort_has_a_row_and_a_quantized_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = nexfort.install(tmp_path, monkeypatch)
    file = tmp_path / "layers.json"
    file.write_text(json.dumps({name: {"ssim": 0.9} for name in (*_LAYERS, "adaln_single.linear")}))
    run = new_run(
        compilers=("nexfort",),
        cold=False,
        repeats=1,
        quantize=True,
        quant_submodules_config_path=str(file),
        top_percentage=67,
    )

    work(run)

    rows = run_rows(run.id)
    for label in ("nexfort", "nexfort+fp8_e4m3_e4m3_dynamic"):
        row = rows[label]
        assert row.status is RowStatus.DONE, row.error
        assert row.figures.iterations_per_s is not None
        assert row.figures.ssim == pytest.approx(1.0, abs=1e-6)  # the stand-in changes nothing
        assert json.loads(row.case.compiler_config)["backend"] == "nexfort"
    assert rows["nexfort+fp8_e4m3_e4m3_dynamic"].execution_note == "quantized by nexfort"
    (asked,) = recorded.of("quantize")
    assert asked["allowed"] == list(_LAYERS)


def test_a_row_whose_backend_is_missing_fails_with_the_way_out() -> None:
    run = new_run(compilers=("oneflow",), cold=False, repeats=1)

    with pytest.raises(WorkError, match="1 of 2 rows failed") as caught:
        work(run)

    assert "--compiler oneflow cannot run: it is not installed" in caught.value.cause
    assert run_rows(run.id)["none"].status is RowStatus.DONE


def run_rows(run_id: str) -> dict[str, BenchRow]:
    return find_run(run_id).snapshot.benchmark.rows
