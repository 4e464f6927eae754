"""A memory budget on its way through a benchmark: the tiny model, in real child processes."""

from __future__ import annotations

import pytest
import torch

from pixart_tui.domain.benchmarks.rows import BenchRow, RowStatus
from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.domain.deploying.memory_plan import MemoryParts, choose_memory, estimate_peak_bytes
from pixart_tui.domain.errors import WorkError
from pixart_tui.domain.events import BenchFinished
from pixart_tui.engine.loading import load_pipeline
from pixart_tui.engine.memory.parts import memory_parts
from tests.worker.bench_runs import new_run, work


@pytest.fixture(scope="module")
def parts() -> MemoryParts:
    loaded = load_pipeline("synthetic:alpha-tiny", dtype=torch.float32, device=torch.device("cpu"))
    return memory_parts(loaded.pipeline, height=64, width=64, text_tokens=16, guidance=True)


def _compiled_row(budget_bytes: int) -> BenchRow:
    run = new_run(
        compilers=("compile",), cold=False, memory=MemoryOptions(budget_bytes=budget_bytes)
    )
    results = [event.result for event in work(run) if isinstance(event, BenchFinished)]
    none, row = results[0].rows
    assert (none.case.memory, none.figures.chosen_memory) == ("", "")
    return row


def test_the_row_tells_what_was_chosen_and_by_which_estimate(parts: MemoryParts) -> None:
    budget_bytes = estimate_peak_bytes(parts, MemoryOptions()) - 1
    chosen = choose_memory(parts, budget_bytes)
    row = _compiled_row(budget_bytes)
    assert row.status is RowStatus.DONE, row.error
    assert row.case.memory.startswith("budget-")
    assert row.figures.chosen_memory == chosen.label != ""
    assert row.figures.memory_estimate_bytes == estimate_peak_bytes(parts, chosen) <= budget_bytes
    assert row.figures.peak_bytes is not None
    assert row.figures.ssim == pytest.approx(1, abs=0.05)


def test_a_budget_that_is_too_small_fails_its_row_and_names_what_would_do() -> None:
    with pytest.raises(WorkError) as raised:
        _compiled_row(1)
    assert "does not fit into" in raised.value.cause
    assert "with every switch on it takes about" in raised.value.cause
