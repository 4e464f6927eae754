from __future__ import annotations

from pathlib import Path

from pixart_tui.domain.events import ArtifactWritten, AttemptFinished
from pixart_tui.domain.events.roles import Role
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.run import RunState
from pixart_tui.tui.app.app import DashboardApp
from pixart_tui.tui.dialogs.confirm import ConfirmScreen
from pixart_tui.tui.tabs.runs.pane import RunsPane
from pixart_tui.tui.widgets.cursor_view import CursorView
from tests.runs.builders import append, started
from tests.tui import sample_runs
from tests.tui.pilots import Starts, dashboard, screen_text, shown, until, until_shown, until_told
from tests.worker import requests


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

    assert "n  starts one" in text


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


async def test_d_deletes_only_once_confirmed(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)
    gone = sample_runs.failed_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, gone.id)
        await pilot.press("end", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("n")
        await until(pilot, lambda: len(pilot.app.screen_stack) == 1)
        assert gone.paths.directory.exists()
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until_told(pilot, f"{gone.id} is deleted")
        await until(pilot, lambda: gone.id not in shown(dashboard_of(pilot.app)))

    assert not gone.paths.directory.exists()


async def test_the_question_before_deleting_names_the_checkpoint_that_stays(tmp_path: Path) -> None:
    run = create_run(requests.export(tmp_path))
    written = ArtifactWritten(role=Role.EXPORT, path=str(tmp_path / "out" / "checkpoint"))
    append(run, started(), written, AttemptFinished(state="done"))

    async with dashboard().run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, run.id)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        asked = "".join("".join(screen_text(dashboard_of(pilot.app))).split())

    assert "checkpoint" in asked


async def test_a_running_run_is_not_deleted(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path)

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "34/85")
        await pilot.press("d")
        await pilot.pause()
        assert len(pilot.app.screen_stack) == 1

    assert run.paths.directory.exists()


async def test_a_profile_that_is_deleted_makes_room_for_the_one_before(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    sample_runs.stale_profile(tmp_path)

    async with dashboard(sample_runs.STALE_ID).run_test() as pilot:
        await until_shown(pilot, f"run {sample_runs.STALE_ID}")
        await pilot.press("1", "end", "d")
        await until(pilot, lambda: isinstance(pilot.app.screen, ConfirmScreen))
        await pilot.press("y")
        await until_told(pilot, "is deleted")
        await pilot.press("2")
        await until_shown(pilot, f"run {sample_runs.PROFILE_ID}")


async def test_it_opens_on_what_is_going_on_and_says_so(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path, "5a3c0009")
    sample_runs.bench(tmp_path)
    sample_runs.stale_profile(tmp_path)

    async with dashboard(attach=True).run_test() as pilot:
        await until_shown(pilot, f"run {sample_runs.BENCH_ID}", "2 of 4 cases")
        await until_told(pilot, f"bench run {sample_runs.BENCH_ID} is running")


async def test_it_opens_on_the_list_where_nothing_is_going_on(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(attach=True).run_test() as pilot:
        await until_shown(pilot, "85/85", "state")

    assert not dashboard_of(pilot.app)._notifications


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
    assert "Delete" in footer
    assert "Resume" not in footer
    assert "Cancel" not in footer


def dashboard_of(app: object) -> DashboardApp:
    assert isinstance(app, DashboardApp)
    return app


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


async def test_attaching_to_a_generation_puts_the_cursor_on_it(tmp_path: Path) -> None:
    sample_runs.generation(tmp_path)
    sample_runs.bench(tmp_path)
    sample_runs.write_run(
        sample_runs.profile_request(tmp_path), "5a3c0009", [], created_s=sample_runs.START_S + 90
    )
    app = dashboard(sample_runs.GENERATE_ID)

    async with app.run_test() as pilot:
        await until_shown(pilot, "none on cpu, to ")

        assert app.tab == "runs"
        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.GENERATE_ID


async def test_a_key_counts_although_the_list_is_drawn_before_it_was_heard_of(
    tmp_path: Path,
) -> None:
    sample_runs.running_profile(tmp_path)
    sample_runs.failed_profile(tmp_path)
    app = dashboard()

    async with app.run_test() as pilot:
        await until_shown(pilot, sample_runs.FAILED_ID)
        pane = app.query_one(RunsPane)
        pane.query_one(CursorView).action_move(1)
        pane.redraw()

        assert app.run_shown is not None
        assert app.run_shown.id == sample_runs.FAILED_ID
