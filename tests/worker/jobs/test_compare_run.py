"""A detached comparison on the embedded model: killed, resumed, and refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.events import ArtifactWritten, ImagesCompared
from pixart_tui.domain.profiles.image_metrics import image_similarity
from pixart_tui.domain.requests import CompareRequest
from pixart_tui.runs.catalogue import create_run, find_run
from pixart_tui.runs.journal import read_journal
from pixart_tui.runs.process.control import start_worker
from pixart_tui.runs.results.pairs import pairs_of
from pixart_tui.runs.results.pictures import pixels_of, read_image
from pixart_tui.runs.run import Run, RunState
from tests.worker.waiting import wait

_LAYER = "transformer_blocks.0.attn1.to_q"
_PROMPTS = ("red apple", "robot", "owl", "sailboat", "cactus", "rocket", "guitar", "key", "bus")


def _start(output: Path, **changes: object) -> Run:
    fields: dict[str, object] = {
        "prompts": _PROMPTS,
        "num_inference_steps": 2,
        "threads": 1,
        "output": str(output),
    }
    run = create_run(CompareRequest.model_validate(fields | changes))
    start_worker(run)
    return run


def _ended(run: Run) -> bool:
    return run.state().is_finished


def _files(run: Run) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.paths.artifacts.iterdir()}


def test_killed_and_resumed_it_loses_and_doubles_nothing(tmp_path: Path) -> None:
    whole = wait(_start(tmp_path / "whole.png"), _ended)
    assert whole.state() is RunState.DONE, whole.log_tail()

    run = _start(tmp_path / "resumed.png")
    wait(run, lambda r: len(r.snapshot.comparison.pairs) >= 4 or _ended(r))
    worker = run.worker()
    assert worker is not None
    os.kill(worker.pid, signal.SIGKILL)
    wait(run, _ended)
    assert run.state() is RunState.STALE
    assert not (tmp_path / "resumed.png").exists()
    assert 4 <= len(run.snapshot.comparison.pairs) < len(_PROMPTS)
    start_worker(run)
    wait(run, _ended)

    assert run.state() is RunState.DONE, run.log_tail()
    assert (tmp_path / "resumed.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    assert run.snapshot.comparison.pairs == whole.snapshot.comparison.pairs
    assert _files(run) == _files(whole)
    events = [entry.event for entry in read_journal(run.paths.events)]
    compared = [event.prompt for event in events if isinstance(event, ImagesCompared)]
    assert sorted(compared) == sorted(_PROMPTS)
    named = [event.path for event in events if isinstance(event, ArtifactWritten)]
    assert len(named) == len(set(named)) == 2 * len(_PROMPTS) + 1


def test_the_figures_are_those_of_the_files(tmp_path: Path) -> None:
    run = wait(_start(tmp_path / "a.png", prompts=("robot",), seeds=(0, 1)), _ended)
    assert run.state() is RunState.DONE, run.log_tail()

    pairs = pairs_of(run.snapshot, run.paths.directory)
    assert [(pair.prompt, pair.seed) for pair in pairs] == [("robot", 0), ("robot", 1)]
    for pair in pairs:
        image, reference = (pixels_of(read_image(path)) for path in (pair.image, pair.reference))
        found = image_similarity(image, reference)
        assert (pair.ssim, pair.psnr_db, pair.mae) == (found.ssim, found.psnr_db, found.mae)
        assert not np.array_equal(image, reference)
        assert 0.5 < found.ssim < 1


def test_one_layer_disturbs_less_than_all(tmp_path: Path) -> None:
    few = wait(_start(tmp_path / "a.png", prompts=("robot",), layers=(_LAYER,)), _ended)
    every = wait(_start(tmp_path / "b.png", prompts=("robot",)), _ended)

    assert few.snapshot.comparison.plan is not None
    assert few.snapshot.comparison.plan.layers == (_LAYER,)
    one, all_layers = (run.snapshot.comparison.pairs["robot", 0].similarity for run in (few, every))
    assert one is not None
    assert all_layers is not None
    assert all_layers.ssim < one.ssim < 1


def test_a_layer_that_is_not_there_is_refused(tmp_path: Path) -> None:
    run = wait(_start(tmp_path / "a.png", layers=("nope",)), _ended)

    assert run.state() is RunState.FAILED
    assert run.snapshot.finished is not None
    assert run.snapshot.finished.failure is not None
    assert run.snapshot.finished.failure.exit_code == 2
    assert "no layer nope" in run.snapshot.finished.failure.title
    assert not (tmp_path / "a.png").exists()


def test_the_command_prints_json_and_writes_the_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "both.png"
    asked = ["compare", "--prompt", "robot", "--steps", "1", "--device", "cpu", "--layer", _LAYER]

    assert main([*asked, "--output", str(output), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == [_LAYER]
    assert found["side_by_side"] == str(output)
    (image,) = found["images"]
    assert 0.9 < image["ssim"] < 1
    assert Path(image["quantized"]).exists()
    # One emoji of 128 pixels is shown at twice its size.
    assert read_image(output).size == (3 * 256 + 4 * 8, 256 + 2 * 20 + 2 * 8)
    assert find_run("last").state() is RunState.DONE


def test_cut_prompts_are_told_on_screen_and_in_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "a red apple on a wooden table beside a blue cup"
    prompts = (f"{words} and a pear", f"{words} and a dog")
    command = ["compare", "--model", "synthetic:alpha-tiny", "--steps", "1", "--layer", "proj_out"]
    options = [text for prompt in prompts for text in ("--prompt", prompt)]
    size = ["--height", "64", "--width", "64", "--output", str(tmp_path / "c.png")]
    assert main([*command, *options, *size, "--display", "plain"]) == 0

    run = find_run("last")
    run.poll()
    assert list(run.snapshot.comparison.pairs) == [(prompts[0], 0)]
    told = run.snapshot.notices
    assert len(told) == 3
    shown, log = capsys.readouterr().err, run.paths.log.read_text()
    for notice in told:
        assert f"notice: {notice}" in shown
        assert f"notice: {notice}" in log


def test_a_picture_that_cannot_be_kept_fails_the_run_and_a_resume_makes_it(tmp_path: Path) -> None:
    """Else the picture of all would lack the pair without a word."""
    whole = wait(_start(tmp_path / "whole.png", prompts=_PROMPTS[:3]), _ended)
    run = create_run(
        CompareRequest(
            prompts=_PROMPTS[:3],
            num_inference_steps=2,
            threads=1,
            output=str(tmp_path / "resumed.png"),
        )
    )
    in_the_way = run.paths.artifacts / "quantized-001.webp"
    in_the_way.mkdir(parents=True)
    start_worker(run)
    wait(run, _ended)
    assert run.state() is RunState.FAILED
    trouble = run.trouble()
    assert trouble is not None
    assert trouble.title == "the pictures of pair 2 could not be kept"
    assert not (tmp_path / "resumed.png").exists()

    in_the_way.rmdir()
    start_worker(run)
    wait(run, _ended)
    assert run.state() is RunState.DONE
    assert (tmp_path / "resumed.png").read_bytes() == (tmp_path / "whole.png").read_bytes()
    assert _files(run) == _files(whole)


def test_a_picture_that_was_removed_is_made_again_by_a_resume(tmp_path: Path) -> None:
    run = wait(_start(tmp_path / "pair.png", prompts=_PROMPTS[:2]), _ended)
    first = (tmp_path / "pair.png").read_bytes()
    before = _files(run)
    _undo_the_end(run)
    (run.paths.artifacts / "quantized-000.webp").unlink()
    start_worker(run)
    wait(run, _ended)
    assert run.state() is RunState.DONE
    assert _files(run) == before
    assert (tmp_path / "pair.png").read_bytes() == first


def _undo_the_end(run: Run) -> None:
    """As if the worker had been killed while it wrote the picture of all."""
    worker = run.worker()
    assert worker is not None
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(worker.pid).wait(60)
    lines = run.paths.events.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"attempt_finished"' not in line]
    run.paths.events.write_bytes(b"".join(kept))
