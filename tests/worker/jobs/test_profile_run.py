"""A worker on the embedded model: killed, cancelled, resumed, and refused."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.events import ArtifactWritten, Failure, LayerMeasured
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.files import attention_file, onediff_file, sidecar
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION
from pixart_tui.domain.requests import ProfileRequest
from pixart_tui.machine.devices import count_gpus
from pixart_tui.runs.catalogue import create_run, find_run
from pixart_tui.runs.journal import read_journal
from pixart_tui.runs.process.control import cancel, start_worker
from pixart_tui.runs.results.pictures import read_image
from pixart_tui.runs.results.profile_files import read_profile_file
from pixart_tui.runs.results.step_effects import read_step_effects
from pixart_tui.runs.run import Run, RunState
from pixart_tui.worker.attempt import work_on
from tests.worker.waiting import wait

_LIMIT_S = 240


def _new(output: Path, **changes: object) -> Run:
    fields: dict[str, object] = {
        "prompts": ("robot",),
        "num_inference_steps": 1,
        # A quarter of what the model draws: the floor alone, in bfloat16, takes a CPU 15 s there.
        "height": 64,
        "width": 64,
        "method": "exhaustive",
        "output": str(output),
        "threads": 1,
    }
    return create_run(ProfileRequest.model_validate(fields | changes))


def _start(output: Path, **changes: object) -> Run:
    run = _new(output, **changes)
    start_worker(run)
    return run


def _work(run: Run) -> None:
    """One attempt as the worker makes it, in this process: it need not import torch once more."""
    work_on(run.paths.directory)
    run.poll()


def _kill(run: Run) -> None:
    """Ends the worker at once; its locks are free only when all of its threads are gone."""
    worker = run.worker()
    assert worker is not None
    process = psutil.Process(worker.pid)
    process.kill()
    process.wait(_LIMIT_S)


def _interrupted(output: Path, whole: Run, layers: int) -> Run:
    """A run that an attempt left behind after some layers, with what that had measured."""
    run = _new(output)
    lines = whole.paths.events.read_bytes().splitlines(keepends=True)
    measured = [n for n, line in enumerate(lines) if b'"layer_measured"' in line]
    run.paths.events.write_bytes(b"".join(lines[: measured[layers]]))
    run.poll()
    assert run.snapshot.done == layers
    return run


def _ended(run: Run) -> bool:
    return run.state().is_finished


def _failure(run: Run) -> Failure:
    assert run.snapshot.finished is not None
    assert run.snapshot.finished.failure is not None
    return run.snapshot.finished.failure


def _half(run: Run) -> bool:
    return run.snapshot.done >= 40 or _ended(run)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that nothing disturbed; not to be changed."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXART_TUI_RUNS", str(folder / "runs"))
        patch.setenv("PIXART_TUI_LOCKS", str(folder / "locks"))
        run = _new(folder / "fp8_e4m3.json")
        _work(run)
        assert run.state() is RunState.DONE
    return run


@pytest.fixture(scope="module")
def uninterrupted(whole: Run) -> Path:
    """Its profile."""
    assert whole.record is not None
    assert isinstance(whole.record.request, ProfileRequest)
    return Path(whole.record.request.output)


def test_the_profile_has_every_layer_and_the_sidecar_all_that_is_known(
    uninterrupted: Path,
) -> None:
    layers = onediff_file.parse(uninterrupted.read_text(), "f.json")
    assert len(layers) == 86
    beside = Path(onediff_file.sidecar_path(uninterrupted))
    known = sidecar.parse(beside.read_text(), "f", sidecar.ProfileSidecar)
    assert len(known.measurements) == 86
    assert known.conditions.execution == "simulated"
    assert known.conditions.num_inference_steps == 1
    assert known.deployment_floor is not None
    assert known.versions["torch"]
    assert {s.layer.fqn: s.ssim for s in known.layers} == layers


def test_kill_and_resume_give_the_same_bytes(tmp_path: Path, uninterrupted: Path) -> None:
    run = _start(tmp_path / "fp8_e4m3.json")
    wait(run, _half)
    _kill(run)
    wait(run, _ended)
    assert run.state() is RunState.STALE
    assert not (tmp_path / "fp8_e4m3.json").exists()
    before = run.snapshot.done
    assert 40 <= before < 86

    with run.paths.events.open("ab") as journal:
        journal.write(b'{"v":1,"t":17')
    start_worker(run)
    wait(run, _ended)

    assert run.state() is RunState.DONE, run.log_tail()
    assert (tmp_path / "fp8_e4m3.json").read_bytes() == uninterrupted.read_bytes()
    events = [entry.event for entry in read_journal(run.paths.events)]
    layers = [event.layer for event in events if isinstance(event, LayerMeasured)]
    assert len(layers) == len(set(layers)) == 86
    kept = [event for event in events if isinstance(event, ArtifactWritten) and event.prompt]
    assert len({event.path for event in kept}) == len(kept) == 1 + 86
    assert {event.label for event in kept if event.role == "layer_image"} == set(layers)
    sizes = [read_image(run.paths.directory / event.path).size for event in kept]
    assert sizes == [(64, 64)] * 87


def test_pictures_that_cannot_be_kept_end_no_measurement(tmp_path: Path) -> None:
    run = create_run(
        ProfileRequest(
            prompts=("robot",),
            num_inference_steps=1,
            method="exhaustive",
            output=str(tmp_path / "fp8_e4m3.json"),
        )
    )
    run.paths.artifacts.write_text("a file where the pictures' directory should be")
    start_worker(run)
    wait(run, _ended)

    assert run.state() is RunState.DONE, run.log_tail()
    assert len(run.snapshot.profiling.measured) == 86
    assert "no picture: " in run.paths.log.read_text()
    assert [a.role for a in run.snapshot.artifacts] == ["sidecar", "profile"]


def test_an_adjoint_profile_that_was_killed_ends_with_the_same_bytes(tmp_path: Path) -> None:
    asked: dict[str, object] = {
        "method": "adjoint",
        "num_inference_steps": 2,
        "prompts": ("robot", "cat", "owl"),
        "more_quant_types": ("int8_dynamic",),
    }
    calm = _new(tmp_path / "a" / "fp8_e4m3.json", **asked)
    _work(calm)
    assert calm.state() is RunState.DONE, calm.log_tail()
    run = _start(tmp_path / "b" / "fp8_e4m3.json", **asked)
    wait(run, lambda r: r.snapshot.done >= 1 or _ended(r))
    _kill(run)
    wait(run, _ended)
    assert run.state() is RunState.STALE
    _work(run)
    assert run.state() is RunState.DONE, run.log_tail()
    for name in ("fp8_e4m3.json", "int8_dynamic.json", "fp8_e4m3.effects.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    files = [tmp_path / folder / "int8_dynamic.json" for folder in "ab"]
    known = [
        sidecar.parse(Path(onediff_file.sidecar_path(f)).read_text(), "f", sidecar.ProfileSidecar)
        for f in files
    ]
    untimed = [[score.replace(latency_s=None) for score in record.layers] for record in known]
    assert untimed[0] == untimed[1]
    assert known[0].look == known[1].look
    assert [(x.prompt, x.predicted_loss) for x in known[0].samples] == [
        (x.prompt, x.predicted_loss) for x in known[1].samples
    ]
    roles = [a.role for a in run.snapshot.artifacts if a.label == "fp8_e4m3_e4m3_dynamic"]
    assert roles.count("joint_image") == 3


def test_cancel_ends_within_a_step_and_resume_goes_on(tmp_path: Path) -> None:
    run = _start(tmp_path / "fp8_e4m3.json")
    wait(run, lambda r: r.snapshot.done >= 3)
    cancel(find_run(run.id))
    run.poll()
    assert run.state() is RunState.CANCELLED
    done = run.snapshot.done
    start_worker(run)
    wait(run, lambda r: r.snapshot.done > done)
    worker = run.worker()
    assert worker is not None
    os.kill(worker.pid, signal.SIGTERM)
    wait(run, _ended)
    assert run.state() is RunState.CANCELLED


def test_a_signal_while_the_model_loads_cancels_and_is_no_failure(tmp_path: Path) -> None:
    run = _start(tmp_path / "fp8_e4m3.json")
    wait(run, lambda r: r.snapshot.stage is not None and r.snapshot.stage.stage == Stage.LOADING)
    worker = run.worker()
    assert worker is not None
    os.kill(worker.pid, signal.SIGTERM)
    wait(run, _ended)
    assert run.state() is RunState.CANCELLED, run.log_tail()


def test_a_real_profile_says_how_it_was_measured(tmp_path: Path) -> None:
    output = tmp_path / "int8_dynamic.json"
    run = _new(
        output,
        model="synthetic:alpha-tiny",
        quant_type="int8_dynamic",
        execution="real",
        baseline_dtype="bfloat16",
        prompts=("robot", "cat", "dog"),
    )
    _work(run)
    assert run.state() is RunState.DONE
    text = Path(onediff_file.sidecar_path(output)).read_text()
    known = sidecar.parse(text, "f", sidecar.ProfileSidecar)
    assert (known.conditions.execution, known.conditions.baseline_dtype) == ("real", "bfloat16")
    assert known.conditions.floor_dtype is None
    assert known.deployment_floor is None
    assert known.batch_sizes == (3,)
    assert run.snapshot.profiling.images_per_s


@pytest.mark.skipif(bool(count_gpus()), reason="this is about a machine without a GPU")
def test_a_real_kernel_that_is_not_there_fails_with_the_request(tmp_path: Path) -> None:
    run = _new(tmp_path / "fp8_e4m3.json", execution="real")
    _work(run)
    assert run.state() is RunState.FAILED
    failure = _failure(run)
    assert failure.exit_code == 2
    assert "fp8_e4m3_e4m3_dynamic does not run with its real kernel on cpu" in failure.title
    assert "--execution simulated" in failure.next_step
    assert not run.snapshot.profiling.measured


def test_a_second_worker_is_refused_and_a_later_run_waits(tmp_path: Path) -> None:
    first = _start(tmp_path / "a.json")
    second = _start(tmp_path / "b.json")
    with pytest.raises(RequestError, match="already has a worker"):
        start_worker(first)
    wait(first, lambda r: r.snapshot.done > 0)
    second.poll()
    assert second.state() is RunState.QUEUED
    assert second.snapshot.stage is not None
    assert first.id in second.snapshot.stage.detail
    cancel(second)
    assert second.state() is RunState.CANCELLED
    cancel(first)


def test_a_run_that_was_measured_on_something_else_is_not_resumed(
    tmp_path: Path, whole: Run
) -> None:
    run = _interrupted(tmp_path / "fp8_e4m3.json", whole, layers=2)
    text = run.paths.events.read_text()
    assert run.snapshot.profiling.planned is not None
    fingerprint = run.snapshot.profiling.planned.conditions.model_fingerprint
    run.paths.events.write_text(text.replace(fingerprint, "sha256:another"))
    reopened = find_run(run.id)
    _work(reopened)
    assert reopened.state() is RunState.FAILED
    failure = _failure(reopened)
    assert "something else" in failure.title
    assert failure.exit_code == 2


def test_a_model_that_is_none_fails_with_the_request(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    run = _new(tmp_path / "out.json", model=str(tmp_path / "model"))
    _work(run)
    assert run.state() is RunState.FAILED
    failure = _failure(run)
    assert failure.exit_code == 2
    assert "FluxPipeline" in failure.title + failure.cause


def test_an_output_that_cannot_be_written_loses_no_measurement(tmp_path: Path, whole: Run) -> None:
    blocked = tmp_path / "folder" / "f.json"
    run = _interrupted(blocked, whole, layers=80)
    (tmp_path / "folder").write_text("a file where the folder should be")
    _work(run)
    assert run.state() is RunState.FAILED
    assert run.snapshot.done == 86
    (tmp_path / "folder").unlink()
    _work(run)
    assert run.state() is RunState.DONE
    assert len(json.loads(blocked.read_text())) == 86


def test_attention_has_files_of_its_own_that_select_takes_beside_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "int8_dynamic.json"
    run = _new(output, method="adjoint", draws=2, quant_type="int8_dynamic", fp8_attention=True)
    _work(run)
    assert run.state() is RunState.DONE
    assert run.snapshot.profiling.quant_types == ("int8_dynamic", FP8_ATTENTION)
    beside = tmp_path / "fp8_attention.json"
    assert attention_file.is_attention(beside.read_text())
    layers, attention = read_profile_file(output), read_profile_file(beside)
    assert len(layers.layers) == 86
    assert [x.kind for x in attention.layers] == ["attn1"] * 8
    assert attention.conditions == layers.conditions.replace(quant_type=FP8_ATTENTION)
    assert all(score.loss is not None and score.loss > 0 for score in attention.scores())
    assert main(["select", str(output), str(beside), "--max-loss", "1"]) == 0
    assert "attention in fp8: 8 of 8 blocks, 100.0% of its FLOPs" in capsys.readouterr().out
    written = json.loads((tmp_path / "mixed.selected.json").read_text())
    chosen = written["layers"]["transformer_blocks.3.attn1"]
    assert chosen["quant_type"] == FP8_ATTENTION
    effects = read_step_effects([output, beside])
    assert effects is not None
    assert effects.by_type[FP8_ATTENTION].effects.shape == (1, 2, 8, 1)
