"""A detached verification of a tiny model: killed, resumed, and refused."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.requests import ProfileRequest, VerifyRequest
from pixart_tui.runs.catalogue import create_run
from pixart_tui.runs.process.control import start_worker
from pixart_tui.runs.results.pairs import pairs_of
from pixart_tui.runs.run import Run, RunState
from pixart_tui.worker.attempt import work_on
from tests.worker.waiting import wait

_LIMIT_S = 240
_MODEL = "synthetic:alpha-tiny"


def _work(run: Run) -> Run:
    """One attempt as the worker makes it, in this process: it need not import torch once more."""
    work_on(run.paths.directory)
    run.poll()
    return run


def _ended(run: Run) -> bool:
    return run.state().is_finished


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a profile of the tiny model stands."""
    folder = tmp_path_factory.mktemp("verify")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXART_TUI_RUNS", str(folder / "runs"))
        patch.setenv("PIXART_TUI_LOCKS", str(folder / "locks"))
        request = ProfileRequest(
            model=_MODEL,
            prompts=("red apple",),
            num_inference_steps=2,
            output=str(folder / "fp8_e4m3.json"),
        )
        assert _work(create_run(request)).state() is RunState.DONE
    return folder


def _verify(folder: Path, output: Path) -> Run:
    request = VerifyRequest(
        model=_MODEL,
        profiles=(str(folder / "fp8_e4m3.json"),),
        rule="flops-share",
        parameter=0.5,
        choose_steps=True,
        onediff_rule=True,
        repair_images=4,
        report_images=4,
        output=str(output),
    )
    return create_run(request)


def _record(output: Path) -> SelectionSidecar:
    text = Path(onediff_file.sidecar_path(output)).read_text()
    return sidecar.parse(text, "meta", SelectionSidecar)


def test_kill_and_resume_change_nothing(tmp_path: Path, folder: Path) -> None:
    whole = _work(_verify(folder, tmp_path / "whole.json"))
    assert whole.state() is RunState.DONE

    run = _verify(folder, tmp_path / "resumed.json")
    start_worker(run)
    wait(run, lambda r: len(r.snapshot.verification.trials) >= 2 or _ended(r))
    worker = run.worker()
    assert worker is not None
    process = psutil.Process(worker.pid)
    process.kill()
    process.wait(_LIMIT_S)
    wait(run, _ended)
    measured = len(run.snapshot.verification.trials)
    _work(run)

    assert run.state() is RunState.DONE, run.log_tail()
    assert (
        run.snapshot.done == run.snapshot.total == len(run.snapshot.verification.trials) > measured
    )
    assert (tmp_path / "resumed.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    one, other = (_record(tmp_path / f"{name}.json").verification for name in ("whole", "resumed"))
    assert one is not None
    assert other is not None
    assert [t.measured for t in one.trials] == [t.measured for t in other.trials]
    assert one.onediff_rule is not None
    kept = [pairs_of(x.snapshot, x.paths.directory) for x in (whole, run)]
    assert [len(pairs) for pairs in kept] == [4, 4]
    for pair, other_pair in zip(*kept, strict=True):
        assert pair.image.read_bytes() == other_pair.image.read_bytes()
        assert pair.image.read_bytes() != pair.reference.read_bytes()
        assert pair.ssim == other_pair.ssim
        assert pair.ssim is not None


def test_the_command_verifies_and_says_what_was_verified(
    tmp_path: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "chosen.json"
    arguments = ["--flops-share", "0.5", "--verify", "--repair-images", "2", "--report-images", "2"]
    asked = ["select", str(folder / "fp8_e4m3.json"), *arguments, "--device", "cpu"]
    assert main([*asked, "--display", "plain", "--output", str(output)]) == 0
    told = capsys.readouterr()
    assert "verified 1-SSIM:" in told.out
    assert "on the repair set:" in told.out
    assert "pixart-tui attach" in told.err
    assert onediff_file.parse(output.read_text(), "f")


def test_prompts_of_the_profile_are_refused(tmp_path: Path, folder: Path) -> None:
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("red apple\n")
    asked = ["select", str(folder / "fp8_e4m3.json"), "--flops-share", "0.5", "--verify"]
    output = ["--output", str(tmp_path / "x.json"), "--device", "cpu", "--display", "none"]
    assert main([*asked, "--report-prompts", str(prompts), *output]) == 2
