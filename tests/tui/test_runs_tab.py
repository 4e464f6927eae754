from __future__ import annotations

import json
from pathlib import Path

from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.runs.paths import runs_root
from pixart_tui.runs.run import RunState
from pixart_tui.tui.app import DashboardApp
from pixart_tui.tui.dialogs.confirm import ConfirmScreen
from tests.tui import sample_runs
from tests.tui.pilots import Starts, dashboard, screen_text, until, until_shown, until_told


async def test_lists_all_runs_newest_first_with_their_progress(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.bench(tmp_path)
    sample_runs.stale_profile(tmp_path)
    sample_runs.failed_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        text = await until_shown(pilot, "34/85")

    rows = [row.split() for row in text.splitlines() if "5a3c" in row]
    assert [row[2] for row in rows] == ["5a3c0002", "5a3c0001", "5a3c0003", "5a3c0004"]
    assert [row[1] for row in rows] == ["running", "running", "stale", "failed"]
    assert rows[1][3:5] == ["profile", "pixart-emoji"]
    assert rows[1][-3:] == ["34/85", "1:16", "1m"]


async def test_without_runs_it_says_how_to_start(tmp_path: Path) -> None:
    async with dashboard().run_test() as pilot:
        text = await until_shown(pilot, "No runs yet")

    assert "n  profiles pixart-emoji" in text


async def test_enter_opens_the_run_under_the_cursor(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.stale_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, sample_runs.STALE_ID)
        await pilot.press("down", "enter")
        await until_shown(pilot, f"run {sample_runs.STALE_ID}", "! stale")


async def test_the_cursor_stays_on_its_run_when_a_newer_one_appears(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.failed_profile(tmp_path)
    app = dashboard()

    async with app.run_test() as pilot:
        await until_shown(pilot, sample_runs.FAILED_ID)
        await pilot.press("end")
        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.FAILED_ID
        sample_runs.bench(tmp_path)
        await until_shown(pilot, sample_runs.BENCH_ID)

        assert app.run_shown.id == sample_runs.FAILED_ID


async def test_a_failed_run_shows_why_and_what_to_do(tmp_path: Path) -> None:
    sample_runs.failed_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        text = await until_shown(pilot, "the device ran out of memory")

    assert "Tried to allocate 2.00 GiB" in text
    assert "r resumes it" in text


async def test_n_starts_a_profile_of_the_embedded_model_once_confirmed(tmp_path: Path) -> None:
    starts = Starts()

    async with dashboard(starts=starts).run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        assert starts.runs == []
        await pilot.press("y")
        await until(pilot, lambda: len(starts.runs) == 1)
        await until_shown(pilot, f"run {starts.runs[0].id}", "pixart-emoji")

    assert starts.runs[0].record is not None
    request = starts.runs[0].record.request
    assert isinstance(request, ProfileRequest)
    assert request.model == "pixart-emoji"
    assert request.output == str(Path.cwd() / "profiles" / "pixart-emoji" / "fp8_e4m3.json")


async def test_n_starts_nothing_if_it_is_not_confirmed(tmp_path: Path) -> None:
    starts = Starts()

    async with dashboard(starts=starts).run_test() as pilot:
        await until_shown(pilot, "No runs yet")
        await pilot.press("n")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("escape")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)

    assert starts.runs == []
    assert not runs_root().exists()


async def test_r_resumes_a_stale_run(tmp_path: Path) -> None:
    run, starts = sample_runs.stale_profile(tmp_path), Starts()

    async with dashboard(starts=starts).run_test() as pilot:
        await until_shown(pilot, "! stale")
        await pilot.press("r")
        await until_shown(pilot, "running")

    assert [started.id for started in starts.runs] == [run.id]


async def test_c_cancels_only_once_confirmed(tmp_path: Path) -> None:
    process, identity = sample_runs.sleeping_process()
    run = sample_runs.running_profile(tmp_path, identity)
    try:
        async with dashboard().run_test() as pilot:
            await until_shown(pilot, "34/85")
            await pilot.press("c")
            await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
            assert not run.paths.cancel.exists()
            await pilot.press("y")
            await until(pilot, run.paths.cancel.exists)
            # What a worker does that finds the file; the sample's process finds nothing.
            process.kill()
            process.wait()
            await until_told(pilot, "has stopped")
    finally:
        process.kill()


async def test_keys_that_make_no_sense_are_not_offered(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "✓ done")
        footer = screen_text(dashboard_of(pilot.app))[-1]

    assert "Open" in footer
    assert "Resume" not in footer
    assert "Cancel" not in footer


def dashboard_of(app: object) -> DashboardApp:
    assert isinstance(app, DashboardApp)
    return app


async def test_an_unreadable_request_is_shown_as_such(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path)
    run.paths.request.write_text("{not json")

    async with dashboard().run_test() as pilot:
        text = await until_shown(pilot, "request.json cannot be read")

    assert run.id in text


async def test_a_newer_journal_shows_what_can_be_read(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path)
    with run.paths.events.open("a") as file:
        file.write(json.dumps({"v": 99, "t": 0, "event": {"type": "new"}}) + "\n{torn")

    async with dashboard().run_test() as pilot:
        text = await until_shown(pilot, "1 journal line cannot be read")

    assert "34/85" in text


async def test_a_deleted_run_disappears(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    gone = sample_runs.failed_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, gone.id)
        for file in gone.paths.directory.iterdir():
            file.unlink()
        gone.paths.directory.rmdir()
        await until(pilot, lambda: gone.id not in "\n".join(screen_text(dashboard_of(pilot.app))))


def test_the_samples_are_in_the_states_that_they_claim(tmp_path: Path) -> None:
    made = [
        sample_runs.running_profile(tmp_path),
        sample_runs.stale_profile(tmp_path),
        sample_runs.failed_profile(tmp_path),
    ]
    states = []
    for run in made:
        run.poll()
        states.append(run.state())

    assert states == [RunState.RUNNING, RunState.STALE, RunState.FAILED]


async def test_a_generation_is_listed_and_opening_it_stays_with_its_details(
    tmp_path: Path,
) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.generation(tmp_path)
    app = dashboard()

    async with app.run_test() as pilot:
        text = await until_shown(pilot, sample_runs.GENERATE_ID)
        row = next(line for line in text.splitlines() if sample_runs.GENERATE_ID in line).split()
        assert row[1:5] == ["running", sample_runs.GENERATE_ID, "generate", "pixart-emoji"]
        assert "33/40" in row
        await pilot.press("home", "enter")
        text = await until_shown(pilot, "none on cpu, to ", "image 128x128")
        assert app.tab == "runs"
        assert app.run_shown is not None
        assert app.run_shown.kind == "generate"
        assert "! " not in text
