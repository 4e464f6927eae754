from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import AttemptFinished
from pixart_tui.runs.catalogue import delete_run, find_run, list_runs
from tests.runs.builders import give_worker, new_run, started


def test_runs_are_listed_newest_first(tmp_path: Path) -> None:
    ids = [new_run(tmp_path).id for _ in range(3)]
    assert [run.id for run in list_runs()] == ids[::-1]


def test_a_run_is_found_by_id_prefix_and_last(tmp_path: Path) -> None:
    first, last = new_run(tmp_path), new_run(tmp_path)
    assert find_run(first.id).id == first.id
    assert find_run("last").id == last.id
    length = next(n for n in range(1, 9) if first.id[:n] != last.id[:n])
    assert find_run(first.id[:length]).id == first.id


def test_a_run_is_its_users_own(tmp_path: Path) -> None:
    assert new_run(tmp_path).paths.directory.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("reference", ["", "zzz", "../.."])
def test_what_is_not_one_run_is_refused(tmp_path: Path, reference: str) -> None:
    new_run(tmp_path)
    new_run(tmp_path)
    with pytest.raises(RequestError):
        find_run(reference)


def test_no_runs_at_all_is_told() -> None:
    with pytest.raises(RequestError, match="there are no runs"):
        find_run("last")


def test_a_living_run_is_not_deleted_and_an_ended_one_is(tmp_path: Path) -> None:
    run = new_run(tmp_path, started())
    give_worker(run, alive=True)
    with pytest.raises(RequestError, match="running"):
        delete_run(run)
    ended = new_run(tmp_path, started(), AttemptFinished(state="done"))
    give_worker(ended, alive=False)
    delete_run(ended)
    assert [r.id for r in list_runs()] == [run.id]


def test_two_who_delete_a_run_at_once_both_find_it_deleted(tmp_path: Path) -> None:
    for _ in range(10):
        run = new_run(tmp_path, started(), AttemptFinished(state="done"))
        give_worker(run, alive=False)
        run.paths.artifacts.mkdir()
        for number in range(200):
            (run.paths.artifacts / f"{number}.webp").touch()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(delete_run, [find_run(run.id), find_run(run.id)]))
        assert not run.paths.directory.exists()
