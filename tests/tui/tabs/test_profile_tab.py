from __future__ import annotations

from pathlib import Path

from pixart_tui.domain.events import (
    AttemptFinished,
    AttemptStarted,
    BatchChosen,
    Event,
    FloorMeasured,
    StageChanged,
)
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.profiles.measurements import Comparison
from pixart_tui.runs.journal import JournalWriter
from pixart_tui.tui.app.app import DashboardApp
from pixart_tui.tui.tabs.profile.pane import ProfilePane
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, shown, until, until_shown


async def test_shows_progress_stage_times_and_reference_lines(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        text = await until_shown(pilot, "▶ running", "34 of 85 layers")

    assert "fp8_e4m3_e4m3_dynamic  simulated" in text
    assert "ETA 1:16  elapsed 1:35" in text
    assert "measuring  transformer_blocks.3.attn2.to_q" in text
    assert "bf16 floor 0.000800" in text
    assert "measurement noise 0.00" in text


async def test_a_wide_screen_shows_the_pace(tmp_path: Path) -> None:
    sample_runs.running_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "34 of 85 layers", "2.7 images/s, exhaustive, 4 images, 20 steps")


async def test_the_device_is_looked_at_while_it_runs(tmp_path: Path) -> None:
    sample_runs.give_live(sample_runs.running_profile(tmp_path), sample_runs.GPU_GAUGES)

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "34 of 85 layers", "673 W", "14.4 of 79.6 GiB")


async def test_a_prompt_that_diverges_is_named(tmp_path: Path) -> None:
    losses = {"robot": 1e-3, "cat": 1e-3, "dog": 1e-3, "snowman": 4e-3}
    floor = FloorMeasured(
        dtype="bfloat16",
        comparisons=tuple(Comparison(prompt=p, seed=0, ssim=1 - x) for p, x in losses.items()),
    )
    events = [*sample_runs.profile_events(5), floor]
    request, worker = sample_runs.profile_request(tmp_path), sample_runs.this_process()
    run = sample_runs.write_run(request, "5a3c0009", events, worker=worker)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, '! "snowman" diverges: it outweighs the other prompts')


async def test_a_smaller_batch_is_told_with_its_reason(tmp_path: Path) -> None:
    smaller = BatchChosen(images=2, reason="the GPU ran out of memory at 4")
    events = [*sample_runs.profile_events(3), smaller, *list(sample_runs.profile_events(5))[-4:]]
    request, worker = sample_runs.profile_request(tmp_path), sample_runs.this_process()
    run = sample_runs.write_run(request, "5a3c0009", events, worker=worker)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "! images in a batch: 2; the GPU ran out of memory at 4")


async def test_ranks_layers_most_sensitive_first_and_ends_with_the_excluded(
    tmp_path: Path,
) -> None:
    sample_runs.finished_profile(tmp_path)

    async with dashboard(sample_runs.PROFILE_ID).run_test(size=(120, 36)) as pilot:
        await until_shown(pilot, "85 of 85 layers")
        rows = dashboard_of(pilot.app).query_one(ProfilePane).table.text.splitlines()

    losses = [float(row[row.index("0.0") :].split()[0]) for row in rows[:85]]
    assert losses == sorted(losses, reverse=True)
    assert rows[85].split()[:3] == ["-", "proj_out", "excluded:"]
    assert "multiples of 16: N = 24" in rows[85]


async def test_layers_appear_as_they_are_measured(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path, measured=3)
    later = list(sample_runs.profile_events(5))[-4:]

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "3 of 85 layers")
        with JournalWriter(run.paths.events) as journal:
            for event in later:
                journal.append(event)
        await until_shown(pilot, "5 of 85 layers")


async def test_a_finished_profile_says_where_it_was_written(tmp_path: Path) -> None:
    sample_runs.finished_profile(Path("/data/profiles"))

    async with dashboard(sample_runs.PROFILE_ID).run_test() as pilot:
        await until_shown(pilot, "✓ done", "wrote /data/profiles/fp8_e4m3.json")


async def test_a_dead_worker_shows_its_last_words_and_what_to_do(tmp_path: Path) -> None:
    run = sample_runs.stale_profile(tmp_path, log="loading\n\x1b[31mboom\x1b[0m\n")

    async with dashboard(run.id).run_test() as pilot:
        text = await until_shown(pilot, "! stale", "log: boom")

    assert "r resumes it where it stopped" in text
    assert "log: loading" in text


async def test_a_worker_that_dies_is_seen(tmp_path: Path) -> None:
    process, identity = sample_runs.sleeping_process()
    run = sample_runs.running_profile(tmp_path, identity)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "▶ running")
        process.kill()
        process.wait()
        await until_shown(pilot, "! stale", "r resumes it")


async def test_a_waiting_run_says_what_it_waits_for(tmp_path: Path) -> None:
    waiting: list[Event] = [
        AttemptStarted(attempt=1),
        StageChanged(stage=Stage.WAITING, detail="run 12 has cpu"),
    ]
    worker = sample_runs.this_process()
    request = sample_runs.profile_request(tmp_path)
    run = sample_runs.write_run(request, "5a3c0009", waiting, worker=worker)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "◌ queued", "waiting  run 12 has cpu")


async def test_a_cancelled_run_is_resumable(tmp_path: Path) -> None:
    events = [*sample_runs.profile_events(3), AttemptFinished(state="cancelled")]
    run = sample_runs.write_run(sample_runs.profile_request(tmp_path), "5a3c0009", events)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "■ cancelled", "r resumes it where it stopped")
        assert "Resume" in screen_text(dashboard_of(pilot.app))[-1]


async def test_the_layers_scroll_with_the_keys(tmp_path: Path) -> None:
    run = sample_runs.finished_profile(tmp_path)
    app = dashboard(run.id)

    async with app.run_test() as pilot:
        await until_shown(pilot, "85 of 85 layers")
        await pilot.press("end")
        await until(pilot, lambda: "proj_out  excluded" in "\n".join(screen_text(app)))
        await pilot.press("home", "down", "pagedown", "pagedown")
        await until(pilot, lambda: " 20= " in "\n".join(screen_text(app)))
        assert " 1= " not in "\n".join(screen_text(app)[5:20])


async def test_at_80_columns_no_line_is_wider_than_the_screen(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path)
    app = dashboard(run.id)

    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "34 of 85 layers")
        assert max(len(row) for row in shown(app).splitlines()) <= 80


def dashboard_of(app: object) -> DashboardApp:
    assert isinstance(app, DashboardApp)
    return app
