"""The Log tab: it follows what is printed, and finds text in it."""

from __future__ import annotations

from pathlib import Path

from textual.pilot import Pilot

from pixart_tui.runs.run import Run
from pixart_tui.tui.tabs.log.body import LogBody
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, until, until_shown


def _append(run: Run, text: str) -> None:
    with run.paths.log.open("a") as file:
        file.write(text)


def _running(tmp_path: Path, lines: int = 0) -> Run:
    run = sample_runs.running_profile(tmp_path)
    run.paths.log.write_text("".join(f"line {number:04}\n" for number in range(lines)))
    return run


def _seen(pilot: Pilot[None]) -> str:
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text.rstrip() for strip in strips)


async def _until_seen(pilot: Pilot[None], *texts: str) -> None:
    await until(pilot, lambda: all(text in _seen(pilot) for text in texts))


async def test_it_shows_the_end_and_follows_it(tmp_path: Path) -> None:
    run = _running(tmp_path, 500)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("l")
        await _until_seen(pilot, "line 0499", "at its end", f"run {run.id}")
        _append(run, "Loading pipeline\n 50%|##   | 10/20\r")
        await _until_seen(pilot, "Loading pipeline", "50%|##   | 10/20")
        _append(run, "100%|#####| 20/20\n")
        await _until_seen(pilot, "100%|#####| 20/20")
        assert "50%" not in _seen(pilot)


async def test_scrolling_up_stops_following_and_f_goes_on(tmp_path: Path) -> None:
    run = _running(tmp_path, 500)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("l")
        await _until_seen(pilot, "line 0499")
        await pilot.press("pageup", "pageup")
        await _until_seen(pilot, "line 0450")
        _append(run, "something new\n")
        await pilot.pause(1.5)
        assert "something new" not in _seen(pilot)
        await pilot.press("f")
        await _until_seen(pilot, "something new", "at its end")


async def test_home_and_end_go_through_a_log_of_many_parts(tmp_path: Path) -> None:
    run = _running(tmp_path, 100_000)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("l")
        await _until_seen(pilot, "line 99999")
        await pilot.press("home")
        await _until_seen(pilot, "line 0000\n", "at 0%")
        await pilot.press("end")
        await _until_seen(pilot, "line 99999", "at its end")


async def test_the_part_before_is_read_when_the_top_comes_into_sight(tmp_path: Path) -> None:
    run = _running(tmp_path, 100_000)
    app = dashboard(run.id)

    async with app.run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("l")
        await _until_seen(pilot, "line 99999")
        body = app.query_one(LogBody)
        first = body.text.splitlines()[0]
        body.scroll_to(y=0, animate=False, immediate=True)
        await until(pilot, lambda: body.text.splitlines()[0] < first)
        await _until_seen(pilot, f"{first}\n")


async def test_search_goes_forward_backward_and_round(tmp_path: Path) -> None:
    run = _running(tmp_path, 3000)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("l")
        await _until_seen(pilot, "line 2999")
        await pilot.press("home")
        await _until_seen(pilot, "line 0000")
        await pilot.press("slash", *"LINE 1000", "enter")
        await _until_seen(pilot, "▶line 1000")
        await pilot.press("slash", *"00", "enter")
        await _until_seen(pilot, "▶line 1000")
        await pilot.press("n")
        await _until_seen(pilot, "▶line 1001")
        await pilot.press("N", "N")
        await _until_seen(pilot, "▶line 0900")
        await pilot.press("slash", *"2999", "enter")
        await _until_seen(pilot, "▶line 2999")
        await pilot.press("n")
        await _until_seen(pilot, "from the beginning", "▶line 2999")


async def test_what_is_nowhere_is_told(tmp_path: Path) -> None:
    run = _running(tmp_path, 10)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("l")
        await _until_seen(pilot, "line 0009")
        await pilot.press("slash", *"q1", "enter")
        await _until_seen(pilot, '"q1" is nowhere in this log', "line 0009")
        await pilot.press("slash", "escape", "q")
        await until(pilot, lambda: not pilot.app.is_running)


async def test_long_lines_go_over_several_and_nothing_is_cut_off(tmp_path: Path) -> None:
    run = _running(tmp_path)
    _append(run, f"{'x' * 200}THE END\n")

    async with dashboard(run.id).run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "34 of 85")
        await pilot.press("l")
        await until(pilot, lambda: "THEEND" in _seen(pilot).replace("\n", "").replace(" ", ""))


async def test_it_is_the_log_of_the_run_that_was_looked_at(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    stale = sample_runs.stale_profile(tmp_path, "the last words of the stale one")
    app = dashboard()

    async with app.run_test() as pilot:
        await until_shown(pilot, "34/85", stale.id)
        await pilot.press("end", "l")
        await _until_seen(pilot, f"run {stale.id}", "the last words of the stale one")
        assert app.run_shown is not None
        assert app.run_shown.id == stale.id
        await pilot.press("1", "home", "l")
        await _until_seen(pilot, "The worker printed nothing")
        assert "stale one" not in _seen(pilot)
