"""Benchmarks of the tiny model in real child processes: rounds, failures, kills and resuming."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pixart_tui.domain.benchmarks.rows import BenchResult, RowStatus
from pixart_tui.domain.errors import CancelledError, RequestError, WorkError
from pixart_tui.domain.events import (
    ArtifactWritten,
    BenchPlanned,
    Event,
    Noticed,
    StageChanged,
)
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.process.control import start_worker
from tests.worker.bench_runs import bench_rows, case_processes, details, new_run, work

_FP8 = "fp8_e4m3_e4m3_dynamic"
_SIMULATED = f"none+{_FP8}"
_LIMIT_S = 300


def test_rounds_are_interleaved_and_their_figures_pooled(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    partial: list[BenchResult] = []

    def listen(event: Event) -> None:
        path = tmp_path / "bench.partial.json"
        if path.exists():
            partial.append(BenchResult.model_validate_json(path.read_bytes()))

    run = new_run(
        compilers=("none", "compile"),
        prompts=("owl", "Owl"),
        rounds=2,
        cold=False,
        repeats=1,
        output=str(output),
    )
    events = work(run, listen)
    (notice,) = [event.text for event in events if isinstance(event, Noticed)]
    assert notice == 'this model reads "Owl" as "owl": they count as one prompt'
    rows = bench_rows(events)
    for row in rows.values():
        assert row.case.prompts == 1
        assert row.figures.e2e_s is not None
        assert (row.status, row.case.rounds, row.figures.e2e_s.n) == (RowStatus.DONE, 2, 2)
        assert row.figures.ssim is not None
    timed = [x.partition(":")[0] for x in details(events) if x.endswith("timed calls")]
    assert timed == ["none", "compile", "none", "compile"]
    images = [e for e in events if isinstance(e, ArtifactWritten) and e.label]
    assert [image.label for image in images] == ["none", "compile"]
    assert rows["compile"].figures.warmup_compile_s is None
    assert "--no-cold" in rows["compile"].case.warmup_note
    # The second process found what the first one had left.
    assert rows["compile"].figures.cache_misses == 0
    assert rows["compile"].figures.warmup_cache_s is not None
    known = [{row.label for row in result.rows if row.figures.e2e_s} for result in partial]
    assert {"none"} in known, "a run that is stopped must leave its first row behind"


def test_the_matrix_on_a_cpu(tmp_path: Path) -> None:
    output = tmp_path / "bench.json"
    run = new_run(
        compilers=(), matrix="onediff", rows=("torch-fp8", "torch-fp8-90"), output=str(output)
    )
    rows = bench_rows(work(run))
    assert list(rows) == ["none", "torch-fp8", "torch-fp8-90"]
    whole, part = rows["torch-fp8"], rows["torch-fp8-90"]
    assert (whole.case.execution, part.case.execution) == ("simulated", "simulated")
    assert 0 < part.case.quantized_layers < whole.case.quantized_layers
    assert part.figures.ssim is not None
    assert whole.figures.ssim is not None
    assert part.figures.ssim != whole.figures.ssim
    file = run.paths.artifacts / "scattered.json"
    assert part.case.quantized_layers == int(len(json.loads(file.read_text())) * 0.9)
    markdown = output.with_suffix(".md").read_text()
    assert "| torch-fp8 | simulated |" in markdown
    assert "+21.8%, -25.2%, 13.400 GiB" in markdown


def test_a_row_that_the_matrix_does_not_have_is_refused() -> None:
    with pytest.raises(RequestError, match="no row 'fp4'"):
        work(new_run(matrix="onediff", rows=("fp4",)))


@pytest.mark.real_processes
def test_a_row_whose_compiler_fails_leaves_the_others_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "/nonexistent/g++")
    run = new_run(compilers=("none", "compile"))
    with pytest.raises(WorkError, match="1 of 2 rows failed"):
        work(run)
    run.poll()
    rows = run.snapshot.benchmark.rows
    assert rows["none"].status is RowStatus.DONE
    assert rows["compile"].status is RowStatus.FAILED
    assert "g++" in rows["compile"].error or "compiler" in rows["compile"].error.lower()


@pytest.mark.real_processes
def test_a_row_whose_process_is_killed_says_so() -> None:
    killed: list[psutil.Process] = []

    def kill(event: Event) -> None:
        of_row = isinstance(event, StageChanged) and event.detail.startswith(_SIMULATED)
        if of_row and not killed:
            killed.append(case_processes()[0])
            killed[0].kill()

    # So many steps that the process is still there when its first message is read.
    run = new_run(quantize=True, num_inference_steps=300)
    with pytest.raises(WorkError, match="1 of 2 rows failed"):
        work(run, listen=kill)
    run.poll()
    rows = run.snapshot.benchmark.rows
    assert rows["none"].status is RowStatus.DONE
    assert rows[_SIMULATED].status is RowStatus.FAILED
    assert "SIGKILL" in rows[_SIMULATED].error


@pytest.mark.real_processes
def test_a_baseline_that_fails_fails_the_benchmark() -> None:
    def kill(event: Event) -> None:
        if isinstance(event, BenchPlanned):
            case_processes()[0].kill()

    with pytest.raises(WorkError, match="SIGKILL"):
        work(new_run(repeats=200), listen=kill)


def test_layers_that_the_model_does_not_have_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "layers.json"
    file.write_text(json.dumps({"proj_out": {"ssim": 0.9}, "no.such.layer": {"ssim": 1.0}}))
    run = new_run(quantize=True, quant_submodules_config_path=str(file), top_percentage=100)
    with pytest.raises(RequestError, match="does not have") as caught:
        work(run)
    assert caught.value.cause == "no.such.layer"


@pytest.mark.parametrize("text", [None, "{", "[]"])
def test_a_bad_layer_file_is_refused_before_anything_starts(
    tmp_path: Path, text: str | None
) -> None:
    file = tmp_path / "layers.json"
    if text is not None:
        file.write_text(text)
    run = new_run(quantize=True, quant_submodules_config_path=str(file))
    with pytest.raises(RequestError):
        work(run)
    assert not find_run(run.id).snapshot.benchmark.rows


def test_cancelling_leaves_no_process_and_resuming_keeps_what_is_done() -> None:
    run = new_run(quantize=True)
    began: list[str] = []

    def listen(event: Event) -> None:
        if isinstance(event, StageChanged) and event.detail.startswith(_SIMULATED):
            began.append(event.detail)

    def check() -> None:
        if began:
            raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        work(run, listen, check)
    assert case_processes() == []
    before = find_run(run.id).snapshot.benchmark.rows["none"]
    assert before.status is RowStatus.DONE

    events = work(run)
    assert not any(detail.startswith("none: warm-up") for detail in details(events))
    assert bench_rows(events)["none"] == before
    assert bench_rows(events)[_SIMULATED].status is RowStatus.DONE


@pytest.mark.real_processes
def test_the_child_dies_with_its_worker() -> None:
    run = new_run(repeats=1000, num_inference_steps=20)
    worker = psutil.Process(start_worker(run))
    deadline = time.monotonic() + _LIMIT_S
    while not run.snapshot.benchmark.rows and time.monotonic() < deadline:
        run.poll()
        time.sleep(0.05)
    children = case_processes(worker)
    assert children, run.log_tail()
    worker.kill()
    gone, alive = psutil.wait_procs(children, timeout=10)
    assert alive == []
    assert gone


def test_the_worker_loads_no_torch() -> None:
    code = "import sys, pixart_tui.worker.jobs.bench; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
