"""What a model of 290 layers looks like, as pictures; look at them after ``--snapshot-update``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from tests.tui import alpha_runs, sample_runs
from tests.tui.pilots import dashboard, until_shown

SnapCompare = Callable[..., bool]
MAP_SIZES = [(80, 24), (120, 36), (200, 50)]
OUTPUT = Path("/data/profiles/pixart-emoji")


@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
@pytest.mark.parametrize("size", MAP_SIZES)
def test_half_a_profile_of_290_layers(
    snap_compare: SnapCompare, size: tuple[int, int], light: bool
) -> None:
    alpha_runs.half_measured(OUTPUT)

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "141 of 283", "4.attn1.to_out.0" if size[0] < 120 else "floor")
        await pilot.press("down", "down")
        await until_shown(pilot, " 7.ff.net.0.proj  rank 2=")
        await _in_theme(pilot, light)

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
@pytest.mark.parametrize("size", MAP_SIZES)
def test_an_adjoint_profile_of_290_layers(
    snap_compare: SnapCompare, size: tuple[int, int], light: bool
) -> None:
    alpha_runs.finished(OUTPUT, list(alpha_runs.adjoint_events()), "adjoint")

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "8 of 8 samples", "all 8 samples measured")
        await pilot.press("slash", *"ff", "enter")
        await until_shown(pilot, "/ff   56 of 290 layers")
        await _in_theme(pilot, light)

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("size", MAP_SIZES)
def test_one_layer_in_detail(snap_compare: SnapCompare, size: tuple[int, int]) -> None:
    alpha_runs.finished(OUTPUT, list(alpha_runs.adjoint_events()), "adjoint")

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "8 of 8 samples", "all 8 samples measured")
        await pilot.press("down", "enter")
        await until_shown(pilot, "known by", "most at step")

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("light", [False, True], ids=["dark", "light"])
@pytest.mark.parametrize("size", MAP_SIZES)
def test_a_selection_of_290_layers(
    snap_compare: SnapCompare, size: tuple[int, int], light: bool
) -> None:
    alpha_runs.finished(OUTPUT, list(alpha_runs.exhaustive_events(283)))

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "283 of 283")
        await pilot.press("3")
        await until_shown(pilot, "253 of 290 layers", "1-SSIM (log) over share of time saved")
        await _in_theme(pilot, light)

    app = dashboard(sample_runs.PROFILE_ID)
    assert snap_compare(app, terminal_size=size, run_before=prepare)


async def _in_theme(pilot: Pilot[None], light: bool) -> None:
    if light:
        await pilot.app.run_action("switch_theme")
        await pilot.pause()
