"""Runs that are damaged, unreadable or of another version, and a worker that dies."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.errors import WorkError
from pixart_tui.runs.identity import identify_self, start_ticks
from pixart_tui.runs.last_word import outcome_of, say
from pixart_tui.runs.run import Run
from tests.tui import sample_runs
from tests.tui.pilots import dashboard, screen_text, until_shown

DEAD_LIMIT_S = 10.0


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


def _unreadable(path: Path) -> None:
    """A file that nobody can read, root included: a directory stands in its place."""
    path.unlink()
    path.mkdir()


async def test_a_run_of_a_newer_version_says_so(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path)
    content = json.loads(run.paths.request.read_text()) | {"schema_version": 9}
    content["request"]["kind"] = "distill"
    run.paths.request.write_text(json.dumps(content))

    async with dashboard().run_test() as pilot:
        text = await until_shown(pilot, "a newer version wrote it: format 9, not 1")

    assert "34/85" in text


async def test_a_journal_that_cannot_be_read_hides_no_other_run(tmp_path: Path) -> None:
    sample_runs.finished_profile(tmp_path)
    bad = sample_runs.stale_profile(tmp_path)
    _unreadable(bad.paths.events)

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "85/85", bad.id)
        await pilot.press("end")
        await until_shown(pilot, "events.jsonl cannot be read: Is a directory")


async def test_a_directory_without_anything_offers_to_be_deleted(tmp_path: Path) -> None:
    run = sample_runs.stale_profile(tmp_path)
    shutil.rmtree(run.paths.directory)
    run.paths.directory.mkdir()

    async with dashboard().run_test() as pilot:
        await until_shown(pilot, "request.json cannot be read", "d deletes it")


async def test_a_journal_that_was_cut_shows_what_is_left(tmp_path: Path) -> None:
    run = sample_runs.stale_profile(tmp_path)
    whole = run.paths.events.read_bytes()
    run.paths.events.write_bytes(whole[: len(whole) * 2 // 3])

    async with dashboard(run.id).run_test() as pilot:
        text = await until_shown(pilot, "! stale", "of 85 layers")

    assert " 0 of 85" not in text


async def test_garbage_in_a_journal_is_counted_and_passed_over(tmp_path: Path) -> None:
    run = sample_runs.stale_profile(tmp_path)
    whole = run.paths.events.read_bytes()
    run.paths.events.write_bytes(b"\x00\xff\x1b[2J not json\n[]\n" + whole)

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "12 of 85 layers", "2 journal lines cannot be read")


async def test_what_a_worker_printed_reaches_no_screen_raw(tmp_path: Path) -> None:
    evil = "\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m \x9b5A \u202eback\tGone"
    run = sample_runs.stale_profile(tmp_path, evil)
    app = dashboard(run.id)

    async with app.run_test() as pilot:
        await until_shown(pilot, "log: red")
        for key in ("1", "6"):
            await pilot.press(key)
            await until_shown(pilot, "red")
            text = "\n".join(screen_text(app))
            assert all(mark not in text for mark in "\x1b\x07\x9b\u202e\t")


async def test_a_worker_that_is_killed_is_shown_as_dead(tmp_path: Path) -> None:
    process, identity = sample_runs.sleeping_process()
    run = sample_runs.running_profile(tmp_path, identity)
    run.paths.log.write_text("Loading\nlast words\n")

    async with dashboard(run.id).run_test() as pilot:
        await until_shown(pilot, "▶ running")
        process.kill()
        process.wait()
        died_s = time.monotonic()
        await until_shown(pilot, "! stale", "its worker is gone: r resumes it", "log: last words")

    assert time.monotonic() - died_s < DEAD_LIMIT_S


@pytest.mark.parametrize("name", ["request", "events"])
def test_commands_tell_what_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    run: Run = sample_runs.stale_profile(tmp_path)
    _unreadable(getattr(run.paths, name))

    assert main(["runs"]) == 0
    assert main(["attach", run.id, "--display", "plain"]) == 1
    error = capsys.readouterr().err
    assert "Is a directory" in error
    assert f"pixart-tui delete {run.id}" in error


def test_a_run_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    full = tmp_path / "full"
    full.write_text("a file where a directory should be")
    monkeypatch.setenv("PIXART_TUI_RUNS", str(full / "runs"))

    assert main(["profile", "--output", str(tmp_path / "p.json"), "--detach"]) == 1
    assert "could not be written" in capsys.readouterr().err
    assert list(tmp_path.glob("p.json*")) == []


async def test_what_only_the_reserved_space_could_take_is_shown(tmp_path: Path) -> None:
    run = sample_runs.stale_profile(tmp_path)
    error = WorkError(
        "events.jsonl could not be written", cause="No space left on device", next_step="free some"
    )
    run.poll()
    say(run.paths.last_word, run.snapshot.attempts, outcome_of(error))

    async with dashboard().run_test() as pilot:
        text = await until_shown(pilot, "events.jsonl could not be written", "No space left")

    assert "failed" in text


async def test_a_stopped_worker_is_shown_as_such(tmp_path: Path) -> None:
    run = sample_runs.running_profile(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        worker = identify_self(1).replace(pid=process.pid, start_ticks=start_ticks(process.pid))
        run.paths.worker.write_text(worker.model_dump_json())
        process.send_signal(signal.SIGSTOP)
        try:
            async with dashboard().run_test() as pilot:
                await until_shown(pilot, "stopped", f"kill -CONT {process.pid} lets it go on")
        finally:
            process.kill()
