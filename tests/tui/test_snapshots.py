"""What the tabs look like, as pictures; look at them after ``--snapshot-update``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from textual.pilot import Pilot

from pixart_tui.tui.widgets.picture_view import HalfCells
from tests.tui import adjoint_runs, sample_pictures, sample_runs
from tests.tui.pilots import dashboard, until, until_shown

SnapCompare = Callable[..., bool]
SIZES = [(80, 24), (120, 36)]
MAP_SIZES = [*SIZES, (200, 50)]
OUTPUT = Path("/data/profiles/pixart-emoji")


@pytest.mark.parametrize("size", SIZES)
def test_runs(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    _every_kind_of_run()

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "34/85")
        await pilot.press("end")
        await until_shown(pilot, "ran out of memory")

    assert snap_compare(dashboard(), terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", MAP_SIZES)
def test_profile(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    _every_kind_of_run()

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "34 of 85")

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", MAP_SIZES)
def test_select(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    sample_runs.finished_profile(OUTPUT)

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "85 of 85")
        await pilot.press("3")
        await until_shown(pilot, "76 of 86", "1-SSIM (log) over share of FLOPs")

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", MAP_SIZES)
def test_a_profile_of_two_quant_types(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    adjoint_runs.running(OUTPUT, _two_types(out_of_range=("robot",)), 6)

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "6 of 16 samples", "after 4 of 16 samples")
        await pilot.press("y")
        await until_shown(pilot, "int8_dynamic (2 of 2)")

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", MAP_SIZES)
def test_a_selection_of_two_quant_types(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    plan = _two_types(seeds=1)
    losses = dict(zip(plan.quant_types, _crossing(plan), strict=True))
    adjoint_runs.finished(OUTPUT, replace(plan, losses=losses))

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "4 of 4 samples")
        await pilot.press("3")
        await until_shown(pilot, "90.0", "1-SSIM (log) over share of FLOPs")

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


def _two_types(**changes: object) -> adjoint_runs.Plan:
    return adjoint_runs.small(sample_runs.QUANT_TYPE, adjoint_runs.INT8, **changes)


def _crossing(plan: adjoint_runs.Plan) -> list[list[float | None]]:
    """Losses of which every other one is smaller under the other quant type."""
    first, other = (list(found) for found in plan.losses.values())
    first[::2], other[::2] = other[::2], first[::2]
    return [first, other]


@pytest.mark.parametrize("size", SIZES)
def test_bench(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    _every_kind_of_run()

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "2 of 4 cases")

    assert snap_compare(dashboard(sample_runs.BENCH_ID), terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", SIZES)
def test_warm_up(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    sample_runs.warming_up(OUTPUT)

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "transformer blocks", "1 of 4 cases")

    assert snap_compare(dashboard(sample_runs.BENCH_ID), terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", SIZES)
def test_compare(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    # Not in the test's own directory, whose name stands on the screen.
    sample_pictures.comparison(Path("/tmp/pixart-tui-pictures"))

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "difference x 1")
        await pilot.press("right")
        await until_shown(pilot, "2 of 4", "difference x 1")
        await until(pilot, lambda: _is_drawn(pilot))

    app = dashboard(sample_pictures.COMPARE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


def _is_drawn(pilot: Pilot[None]) -> bool:
    return any(view._cells for view in pilot.app.query(HalfCells))


def _every_kind_of_run() -> None:
    sample_runs.running_profile(OUTPUT)
    sample_runs.bench(OUTPUT)
    sample_runs.stale_profile(OUTPUT)
    sample_runs.failed_profile(OUTPUT)
