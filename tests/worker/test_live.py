"""What a worker tells of this moment: little, seldom, and never more than the last half minute."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pixart_tui.domain.live import Gauges, Live
from pixart_tui.runs.live import read_live
from pixart_tui.worker.gauges import ProcessGauges, gauge_reader
from pixart_tui.worker.live import PACES_KEPT, SAMPLE_EVERY_S, WRITE_EVERY_S, live_report
from tests.worker.bench_runs import new_run, work

LIMIT_S = 30.0
_BUSY = "while True: pass"
_A_PYTHON_BYTES = 4 * 2**20
"""Less than any Python takes."""


def _until(found: Callable[[], bool]) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _samples(path: Path, seconds: float) -> list[Live]:
    """Every different sample that stood in the file."""
    found: dict[float, Live] = {}
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        if (live := read_live(path)) is not None:
            found[live.t] = live
        time.sleep(0.01)
    return list(found.values())


def test_a_thousand_paces_are_a_few_small_files(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    with live_report(path, "cpu") as report:
        started_s = time.monotonic()
        for n in range(1000):
            report.add_pace("none", 1000.0 / (n + 1))
            time.sleep(0.002)
        samples = _samples(path, 1.0)
        elapsed_s = time.monotonic() - started_s

    assert samples
    assert len(samples) <= elapsed_s / WRITE_EVERY_S + 1
    pace = samples[-1].pace
    assert pace is not None
    assert len(pace.iterations_per_s) == PACES_KEPT
    assert pace.iterations_per_s[-1] == 1.0
    assert path.stat().st_size < 2000


def test_without_paces_it_samples_about_once_a_second(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    with live_report(path, "cpu"):
        _until(path.exists)
        samples = _samples(path, 3 * SAMPLE_EVERY_S)

    assert 1 <= len(samples) <= 5
    assert all(sample.gauges is not None for sample in samples)
    assert not list(tmp_path.glob(".live*"))


def test_another_row_begins_anew(tmp_path: Path) -> None:
    with live_report(tmp_path / "live.json", "cpu") as report:
        report.add_pace("none", 1.0)
        report.add_pace("compile", 2.0)
        pace, told = report.take()

    assert pace is not None
    assert (pace.label, pace.iterations_per_s, told) == ("compile", (2.0,), 2)


def test_a_directory_that_is_gone_ends_nothing(tmp_path: Path) -> None:
    with live_report(tmp_path / "deleted" / "live.json", "cpu") as report:
        report.add_pace("none", 1.0)
        time.sleep(2 * WRITE_EVERY_S)


def test_a_child_counts_among_the_runs_processes() -> None:
    gauges = ProcessGauges()
    alone = gauges.read()
    with subprocess.Popen([sys.executable, "-c", _BUSY]) as child:
        try:
            # The test's own process may be busy too; memory beyond its own is the child's alone.
            _until(lambda: _resident(gauges.read()) > _resident(alone) + _A_PYTHON_BYTES)
            _until(lambda: (gauges.read().utilization or 0.0) > 0.02)
        finally:
            child.kill()

    assert alone.source == "processes"
    assert alone.power_w is None
    _until(lambda: _resident(gauges.read()) < _resident(alone) + _A_PYTHON_BYTES)


def _resident(gauges: Gauges) -> int:
    assert gauges.memory_bytes is not None
    return gauges.memory_bytes


def test_a_gpu_that_is_not_there_has_no_gauges() -> None:
    assert gauge_reader("cuda:99")() is None


def test_a_benchmark_tells_its_pace_while_it_runs() -> None:
    told: list[tuple[str, float]] = []
    run = new_run(num_inference_steps=200)
    work(run, tell_pace=lambda label, pace: told.append((label, pace)))
    run.poll()
    row = run.snapshot.benchmark.rows["none"]

    assert row.figures.iterations_per_s is not None
    assert {label for label, _ in told} == {"none"}
    assert all(0.05 < pace / row.figures.iterations_per_s.median < 20 for _, pace in told)
    journal = run.paths.events.read_text()
    assert '"pace"' not in journal


@pytest.mark.gpu
def test_a_gpus_gauges_reach_the_file(tmp_path: Path) -> None:
    path = tmp_path / "live.json"
    with live_report(path, "cuda:0"):
        _until(path.exists)
        live = read_live(path)

    assert live is not None
    assert live.gauges is not None
    assert live.gauges.source == "gpu"
