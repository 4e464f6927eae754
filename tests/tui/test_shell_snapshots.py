"""The form, the log, the help and the light theme, as pictures; look at them after updating."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest
from textual.pilot import Pilot

from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.tui.app.settings import Display, Settings
from pixart_tui.tui.app.work import Work
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, until, until_shown

SnapCompare = Callable[..., bool]
SIZES = [(80, 24), (120, 36)]
WIDE = (200, 50)
THEMES: list[Literal["dark", "light"]] = ["dark", "light"]
OUTPUT = Path("/data/profiles/pixart-emoji")


def _settings(theme: Literal["dark", "light"], *, ascii_only: bool = False) -> Settings:
    return Settings(display=Display(theme=theme, ascii=ascii_only))


def _runs() -> None:
    sample_runs.running_profile(OUTPUT)
    sample_runs.bench(OUTPUT)
    sample_runs.failed_profile(OUTPUT)
    stale = sample_runs.stale_profile(OUTPUT)
    steps = "".join(f"step {number:3} of 300, loss 0.0{number:03}\n" for number in range(300))
    stale.paths.log.write_text(f"Loading pipeline components\n{steps}{'x' * 300}\nKilled\n")


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [*SIZES, WIDE])
def test_runs(snap_compare: SnapCompare, size: tuple[int, int], theme: Literal["dark"]) -> None:
    _runs()

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "34/85")

    app = dashboard(settings=_settings(theme))
    assert snap_compare(app, terminal_size=size, run_before=prepare)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", [*SIZES, WIDE])
def test_log(snap_compare: SnapCompare, size: tuple[int, int], theme: Literal["dark"]) -> None:
    _runs()

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "34/85", sample_runs.STALE_ID)
        await pilot.press("end", "up", "l")
        await until_shown(pilot, "Killed")
        await pilot.press("home", "slash", *"step 100", "enter")
        await until_shown(pilot, "▶step 100")
        await until(pilot, lambda: "at " in _head(pilot))

    app = dashboard(settings=_settings(theme))
    assert snap_compare(app, terminal_size=size, run_before=prepare)


def _head(pilot: Pilot[None]) -> str:
    strips = pilot.app.screen._compositor.render_strips()
    return strips[2].text


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES)
def test_form(snap_compare: SnapCompare, size: tuple[int, int], theme: Literal["dark"]) -> None:
    """With an answer that is the same on every machine."""
    request = ProfileRequest(
        method="exhaustive", output="/data/profiles/pixart-emoji/fp8_e4m3.json"
    )
    app = dashboard(settings=_settings(theme))
    app._work = Work(ask=lambda words: request)

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "No runs yet")
        await pilot.press("n", "down", "down", *"exhaustive")
        await until(pilot, lambda: "✓" in _all(pilot) and "--method exhaustive" in _all(pilot))

    assert snap_compare(app, terminal_size=size, run_before=prepare)


def _all(pilot: Pilot[None]) -> str:
    return "\n".join(strip.text for strip in pilot.app.screen._compositor.render_strips())


@pytest.mark.parametrize("theme", THEMES)
def test_help(snap_compare: SnapCompare, theme: Literal["dark"]) -> None:
    _runs()

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "34/85")
        await pilot.press("question_mark")
        await until(pilot, lambda: "Keys on Runs" in _all(pilot))

    app = dashboard(settings=_settings(theme))
    assert snap_compare(app, terminal_size=(80, 24), run_before=prepare)


def test_ascii(snap_compare: SnapCompare) -> None:
    _runs()

    async def prepare(pilot: Pilot[None]) -> None:
        await until_shown(pilot, "34 of 85")

    app = dashboard(sample_runs.PROFILE_ID, settings=_settings("dark", ascii_only=True))
    assert snap_compare(app, terminal_size=(80, 24), run_before=prepare)
