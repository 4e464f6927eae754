from __future__ import annotations

from pathlib import Path

from pixart_tui.domain.errors import CancelledError, WorkError
from pixart_tui.domain.events import AttemptFinished, Failure
from pixart_tui.runs.catalogue import find_run
from pixart_tui.runs.last_word import RESERVED_BYTES, heard, outcome_of, reserve, say
from pixart_tui.runs.run import RunState
from tests.runs.builders import append, give_worker, new_run, started

_FULL = outcome_of(
    WorkError("events.jsonl could not be written", cause="No space left", next_step="free some")
)


def test_what_is_said_needs_no_more_space_than_was_reserved(tmp_path: Path) -> None:
    path = tmp_path / "last_word.json"
    reserve(path)
    assert heard(path) is None
    long = Failure(title="ß" * 9000, cause="\x1b" * 9000, next_step="字" * 9000)
    say(path, 1, AttemptFinished(state="failed", failure=long))
    said = heard(path)
    assert said is not None
    assert said.outcome.failure is not None
    assert set(said.outcome.failure.title) == {"ß"}
    assert path.stat().st_size == RESERVED_BYTES
    reserve(path)
    assert heard(path) is None
    assert heard(tmp_path / "none") is None


def test_a_run_takes_it_in_once_and_only_where_the_journal_ends_without_it(tmp_path: Path) -> None:
    run = new_run(tmp_path, started())
    give_worker(run, alive=False)
    assert run.state() is RunState.STALE
    say(run.paths.last_word, 1, _FULL)
    run.poll()
    assert run.state() is RunState.FAILED
    assert run.trouble() == _FULL.failure
    assert [entry.event for entry in run.unjournalled] == [_FULL]
    append(run, started(2))
    give_worker(run, alive=True, attempt=2)
    run.poll()
    assert run.state() is RunState.RUNNING


def test_an_attempt_that_could_not_even_say_that_it_began_counts(tmp_path: Path) -> None:
    run = new_run(tmp_path, started(), AttemptFinished(state="cancelled"))
    give_worker(run, alive=False, attempt=2)
    say(run.paths.last_word, 2, _FULL)
    found = find_run(run.id)
    assert (found.state(), found.snapshot.attempts, found.next_attempt) == (RunState.FAILED, 2, 3)


def test_the_journal_s_own_end_counts_more(tmp_path: Path) -> None:
    run = new_run(tmp_path, started(), AttemptFinished(state="done"))
    give_worker(run, alive=False)
    say(run.paths.last_word, 1, _FULL)
    assert find_run(run.id).state() is RunState.DONE


def test_an_error_says_which_state_it_ends_in() -> None:
    assert outcome_of(WorkError("a")).state == "failed"
    assert outcome_of(CancelledError("a")).state == "cancelled"
