"""``--ascii``: nothing else reaches the terminal, on any screen."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot

from pixart_tui.tui.app.settings import Display, Settings
from pixart_tui.tui.widgets.tab_strip import TABS
from tests.tui import sample_runs
from tests.tui.pilots import Starts, dashboard, until, until_shown


def _drawn(pilot: Pilot[None]) -> str:
    """What the terminal is sent, filters applied."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def test_every_screen_is_drawn_in_ascii(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.bench(tmp_path)
    sample_runs.stale_profile(tmp_path, "a log with … ✓ 中文 and é")
    app = dashboard(starts=Starts(), settings=Settings(display=Display(ascii=True)))
    seen = {}

    async with app.run_test() as pilot:
        await until_shown(pilot, "34/85")
        for tab, _ in TABS:
            await pilot.press("1", "end")
            app.show_tab(tab)
            await pilot.pause(0.3)
            seen[tab] = _drawn(pilot)
            await pilot.press("question_mark")
            await pilot.pause(0.2)
            seen[f"help of {tab}"] = _drawn(pilot)
            await pilot.press("escape")
        await pilot.press("1", "ctrl+p")
        await pilot.pause(0.5)
        seen["palette"] = _drawn(pilot)
        await pilot.press("escape", "n")
        await until(pilot, lambda: "New profile run" in _drawn(pilot))
        seen["form"] = _drawn(pilot)
        await pilot.press("escape", "end", "d")
        await until(pilot, lambda: "Delete profile run" in _drawn(pilot))
        seen["question"] = _drawn(pilot)

    for name, text in seen.items():
        assert text.isascii(), f"{name}: {sorted({sign for sign in text if not sign.isascii()})}"
    assert "> running" in seen["runs"]
    assert "! stale" in seen["runs"]
    assert "a log with ~ + ???? and e" in seen["log"]
    assert "+- Help -" in seen["help of runs"]


async def test_a_scrollbar_holds_no_digits(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    app = dashboard(settings=Settings(display=Display(ascii=True)))
    drawn = []

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "34/85")
        app.show_tab("profile")
        for _ in range(5):
            await pilot.press("pagedown")
            await pilot.pause(0.1)
            drawn += _drawn(pilot).splitlines()[6:22]

    bar = {text.ljust(80)[79] for text in drawn}

    assert bar == {" "}


async def test_pictures_are_off_in_ascii() -> None:
    shown = Display(images="kitty")
    hidden = Display(images="kitty", ascii=True)

    assert dashboard(settings=Settings(display=shown)).images == "kitty"
    assert dashboard(settings=Settings(display=hidden)).images == "none"
