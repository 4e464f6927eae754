from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import AttemptFinished, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.runs.run import OF_REMOVED_METHOD, Run, RunState
from tests.runs.builders import (
    append,
    give_worker,
    measured,
    new_run,
    planned,
    removed_run,
    started,
)


def test_a_new_run_is_queued_until_its_worker_has_had_time_to_start(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert run.state() is RunState.QUEUED


def test_a_run_whose_worker_never_came_is_stale(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert run.record is not None
    old = run.record.replace(created_s=time.time() - 3600)
    run.paths.request.write_text(old.model_dump_json())
    assert Run.open(run.paths.directory).state() is RunState.STALE


def test_a_living_worker_waits_or_works(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    give_worker(run, alive=True)
    assert run.state() is RunState.QUEUED
    append(run, started(), StageChanged(stage=Stage.WAITING))
    assert run.state() is RunState.QUEUED
    append(run, StageChanged(stage=Stage.LOADING))
    assert run.state() is RunState.RUNNING


def test_a_worker_that_died_without_a_word_is_stale(tmp_path: Path) -> None:
    run = new_run(tmp_path, started())
    give_worker(run, alive=False)
    assert run.state() is RunState.STALE


@pytest.mark.parametrize("state", ["done", "failed", "cancelled"])
def test_the_end_counts_whether_or_not_the_worker_is_gone(tmp_path: Path, state: str) -> None:
    run = new_run(tmp_path, started(), AttemptFinished.model_validate({"state": state}))
    for alive in (True, False):
        give_worker(run, alive=alive)
        assert run.state() is RunState(state)


def test_a_resumed_run_lives_again_before_its_first_event(tmp_path: Path) -> None:
    run = new_run(tmp_path, started(), AttemptFinished(state="cancelled"))
    give_worker(run, alive=True, attempt=2)
    assert run.state() is RunState.QUEUED
    append(run, started(2))
    assert run.state() is RunState.RUNNING


def test_an_unreadable_request_is_a_problem_and_not_an_exception(tmp_path: Path) -> None:
    run = new_run(tmp_path, started(), planned("a"), measured("a"))
    run.paths.request.write_text('{"schema_version": 1, "id"')
    opened = Run.open(run.paths.directory)
    opened.poll()
    assert opened.record is None
    assert opened.problem
    assert opened.snapshot.done == 1


def test_a_run_of_the_removed_method_says_so_and_its_old_events_harm_nothing(
    tmp_path: Path,
) -> None:
    run = removed_run(tmp_path)
    run.poll()
    assert run.record is None
    assert run.problem == OF_REMOVED_METHOD
    assert (run.snapshot.done, run.unreadable_lines) == (1, 1)
    with pytest.raises(RequestError, match="start a new one with: pixart-tui profile"):
        run.refuse_removed()
    new_run(tmp_path).refuse_removed()


def test_the_log_tail_is_its_last_lines(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert run.log_tail() == []
    run.paths.log.write_bytes(b"\xff first\n" + b"".join(b"%d\n" % i for i in range(5000)))
    assert run.log_tail(2) == ["4998", "4999"]


def test_finished_states_are_those_that_nothing_will_add_to() -> None:
    going = {state for state in RunState if not state.is_finished}
    assert going == {RunState.QUEUED, RunState.RUNNING}


def test_age_of_a_run_without_a_request_comes_from_its_directory(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.paths.request.unlink()
    os.utime(run.paths.directory, (1000, 1000))
    assert Run.open(run.paths.directory).created_s == 1000
