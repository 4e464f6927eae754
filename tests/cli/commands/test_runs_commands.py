from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.events import AttemptFinished, Failure
from pixart_tui.runs.run import OF_REMOVED_METHOD
from tests.runs.builders import give_worker, measured, new_run, planned, removed_run, started
from tests.tui import adjoint_runs


def test_runs_as_json_holds_what_scripts_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, started(), planned("a", "b"), measured("a"))
    give_worker(run, alive=True)
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["kind"], found["state"]) == (run.id, "profile", "running")
    assert (found["done"], found["total"]) == (1, 2)
    assert found["output"] == str(tmp_path / "out.json")
    assert isinstance(found["pid"], int)


def test_runs_without_any_is_an_empty_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize(
    ("state", "failure", "exit_code", "said"),
    [
        ("done", None, 0, ""),
        ("failed", Failure(title="no memory", exit_code=1), 1, "no memory"),
        ("failed", Failure(title="no such model", exit_code=2), 2, "no such model"),
        ("cancelled", None, 130, "was cancelled"),
    ],
)
def test_attach_ends_as_the_run_ended(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    state: str,
    failure: Failure | None,
    exit_code: int,
    said: str,
) -> None:
    finished = AttemptFinished.model_validate({"state": state, "failure": failure})
    run = new_run(tmp_path, started(), planned("a"), measured("a"), finished)
    give_worker(run, alive=False)
    assert main(["attach", run.id, "--display", "plain"]) == exit_code
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("words", [["resume"], ["attach"], ["select"], ["report"], ["export"]])
def test_a_run_of_the_removed_method_is_refused_in_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    run = removed_run(tmp_path)
    more = ["--format", "onediff"] if words == ["export"] else []
    assert main([*words, run.id, *more]) == 2
    assert capsys.readouterr().err.strip() == f"error: {OF_REMOVED_METHOD}"


def test_it_is_listed_all_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = removed_run(tmp_path)
    give_worker(run, alive=False)
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["id"], found["kind"], found["problem"]) == (run.id, None, OF_REMOVED_METHOD)
    assert main(["runs"]) == 0
    # The column may be so narrow that each word has a line.
    assert {"fast", "removed;"} <= set(capsys.readouterr().out.split())
    assert main(["delete", run.id, "--yes"]) == 0


def test_a_run_of_the_adjoint_method_counts_samples(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adjoint_runs.running(tmp_path, done=5)
    assert main(["runs", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["done"], found["total"], found["eta_s"]) == (5, 16, 44)


def test_json_tells_each_sample_and_each_look(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = adjoint_runs.finished(tmp_path, adjoint_runs.small(seeds=1))
    assert main(["attach", run.id, "--display", "json"]) == 0
    events = [json.loads(line)["event"] for line in capsys.readouterr().out.splitlines()]
    kinds = [event["type"] for event in events]
    assert (kinds.count("sample_measured"), kinds.count("look_taken")) == (4, 1)
    look = next(event["look"] for event in events if event["type"] == "look_taken")
    assert (look["samples"], look["outcome"]) == (4, "spent")


def test_attach_to_a_dead_run_shows_its_last_words_and_the_way_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, started())
    give_worker(run, alive=False)
    run.paths.log.write_text("first\nCUDA error: an illegal memory access\n")
    assert main(["attach", "last", "--display", "plain"]) == 1
    err = capsys.readouterr().err
    assert "illegal memory access" in err
    assert f"pixart-tui resume {run.id}" in err


def test_logs_print_what_the_worker_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, started())
    give_worker(run, alive=False)
    assert main(["logs", "last"]) == 2
    run.paths.log.write_text("loading\n")
    assert main(["logs", "last"]) == 0
    assert capsys.readouterr().out == "loading\n"


def test_a_living_run_is_not_resumed_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, started())
    give_worker(run, alive=True)
    assert main(["resume", run.id]) == 2
    assert "already has a worker" in capsys.readouterr().err


def test_delete_asks_unless_told_not_to(tmp_path: Path) -> None:
    run = new_run(tmp_path, started(), AttemptFinished(state="done"))
    give_worker(run, alive=False)
    assert main(["delete", run.id, "--yes"]) == 0
    assert not run.paths.directory.exists()


def test_an_unfinished_profile_is_not_selected_from(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, started(), planned("a", "b"), measured("a"))
    give_worker(run, alive=False)
    assert main(["select", run.id]) == 2
    assert "1 of 2 layers are measured" in capsys.readouterr().err


def test_a_file_that_the_system_refuses_is_an_error_and_no_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("PIXART_TUI_LOCKS", str(tmp_path / "file"))
    monkeypatch.setenv("PIXART_TUI_RUNS", "/dev/null/runs")
    assert main(["profile", "--output", str(tmp_path / "f.json")]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 5


def test_a_log_reaches_a_terminal_without_control_codes_and_a_pipe_as_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path, started(), planned("a"))
    raw = "\x1b[31mred\x1b[0m\n 50%\r100%\n\x1b]0;title\x07torn"
    run.paths.log.write_text(raw)

    assert main(["logs", run.id]) == 0
    assert capsys.readouterr().out == raw
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["logs", run.id]) == 0
    assert capsys.readouterr().out == "red\n100%\ntorn\n"


def test_the_last_words_of_a_worker_are_told_without_control_codes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(tmp_path, started(), planned("a"))
    give_worker(run, alive=False)
    run.paths.log.write_text("Loading\n\x1b[2J\x1b[31mKilled\x1b[0m\n")

    assert main(["attach", run.id, "--display", "none"]) == 1
    error = capsys.readouterr().err
    assert "its last words: Killed" in error
    assert "\x1b" not in error
