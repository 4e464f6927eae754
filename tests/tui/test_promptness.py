"""How soon the screen knows: counted in readings, as seconds mean little on a busy machine.

The dashboard reads every half second; what the second reading shows is there within a second.
"""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from textual.pilot import Pilot

from pixart_tui.domain.events import BenchRowUpdated, Event, LayerMeasured, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.runs.run import Run
from pixart_tui.tui.app import app as app_module
from pixart_tui.tui.app.app import DashboardApp
from pixart_tui.tui.app.messages import OverviewRead
from tests.tui import sample_runs
from tests.tui.pilots import shown, until, until_shown

SOON_S = 1.0
DEAD_S = 10.0


class _Counting(DashboardApp):
    """Counts what was read, in the dashboard's own rhythm."""

    def __init__(self, run_id: str) -> None:
        super().__init__([run_id], clock=lambda: sample_runs.NOW_S)
        self.readings = 0

    def on_overview_read(self, message: OverviewRead) -> None:
        self.readings += 1
        super().on_overview_read(message)


async def _readings_until(pilot: Pilot[None], app: _Counting, text: str) -> int:
    """How many readings it took from now on; one that has begun may be too early to see it."""
    before = app.readings
    await until(pilot, lambda: text in shown(app))
    return app.readings - before - 1


def _append(run: Run, *events: Event) -> None:
    with JournalWriter(run.paths.events) as journal:
        for event in events:
            journal.append(event)


async def test_each_measurement_is_on_the_screen_within_a_second(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path, measured=34)
    events = [e for e in sample_runs.profile_events(44) if isinstance(e, LayerMeasured)][34:]
    app = _Counting(run.id)

    async with app.run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        for number, event in enumerate(events, start=35):
            _append(run, event)
            taken = await _readings_until(pilot, app, f"{number} of 85")
            assert taken * app_module._POLL_S <= SOON_S


async def test_so_are_a_benchmarks_stage_and_figures(tmp_path: Path) -> None:
    run = sample_runs.bench(tmp_path)
    app = _Counting(run.id)

    async with app.run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "2 of 4 cases")
        _append(run, StageChanged(stage=Stage.BENCHMARKING, detail="timed calls", done=3, total=5))
        assert await _readings_until(pilot, app, "3 of 5  timed") * app_module._POLL_S <= SOON_S
        _append(run, BenchRowUpdated(row=sample_runs.bench_rows(4)[2]))
        assert await _readings_until(pilot, app, "9.100 it/s") * app_module._POLL_S <= SOON_S


@pytest.mark.parametrize("kind", ["profile", "bench"])
async def test_a_worker_that_was_killed_is_seen_within_ten_seconds(
    tmp_path: Path, kind: str
) -> None:
    process, identity = sample_runs.sleeping_process()
    make = sample_runs.running_profile if kind == "profile" else sample_runs.bench
    run = make(tmp_path)
    run.paths.worker.write_text(identity.model_dump_json())
    app = _Counting(run.id)

    try:
        async with app.run_test() as pilot:
            await until_shown(pilot, "▶ running")
            process.send_signal(signal.SIGKILL)  # it stays a zombie: nobody waits for it
            taken = await _readings_until(pilot, app, "its worker is gone")
            assert taken * app_module._POLL_S <= DEAD_S
    finally:
        process.kill()
        process.wait()
