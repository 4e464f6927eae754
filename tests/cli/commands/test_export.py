"""``export`` and ``profile --verify`` on the profile of a tiny model, with real workers."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.events import AttemptFinished
from pixart_tui.domain.files import sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import BenchRequest, VerifyRequest
from pixart_tui.runs.catalogue import create_run, list_runs
from pixart_tui.runs.identity import is_alive
from pixart_tui.runs.process.control import start_worker
from pixart_tui.runs.run import Run
from tests.runs.builders import append, give_worker, started
from tests.samples import conditions, layer, measurement, write_profile

_MODEL = "synthetic:alpha-tiny"
_QUANT_TYPE = "int8_weightonly"


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    path = folder / f"{_QUANT_TYPE}.json"
    arguments = ["profile", "--model", _MODEL, "--quant-type", _QUANT_TYPE, "--steps", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PIXART_TUI_RUNS", str(folder / "runs"))
        patch.setenv("PIXART_TUI_LOCKS", str(folder / "locks"))
        rest = ["--method", "exhaustive", "--prompt", "robot", "--seeds", "2", "--output"]
        assert main([*arguments, *rest, str(path), "--display", "none", "--device", "cpu"]) == 0
    return path


def test_torchao_and_modelopt_files_hold_what_the_rule_chose(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torchao")
    target = tmp_path / "config.json"
    rule = ["--flops-share", "0.5"]
    assert (
        main(["export", str(profile), "--format", "torchao", *rule, "--output", str(target)]) == 0
    )
    told = capsys.readouterr()
    assert "config_from_dict" in told.out
    assert str(target) in told.out
    layers = json.loads(target.read_text())["_data"]["fqn_to_config"]
    meta = (tmp_path / "config.meta.json").read_text()
    record = sidecar.parse(meta, "meta", SelectionSidecar)
    assert set(layers) == set(record.selection.chosen)
    assert record.selection.flops_share >= 0.5

    module = tmp_path / "quant_config.py"
    assert (
        main(["export", str(profile), "--format", "modelopt", *rule, "--output", str(module)]) == 0
    )
    names: dict[str, dict[str, list[dict[str, str]]]] = {}
    exec(module.read_text(), names)
    entries = [x["quantizer_name"] for x in names["QUANT_CONFIG"]["quant_cfg"][1:]]
    assert entries == [f"{fqn}.weight_quantizer" for fqn in record.selection.chosen]


def test_a_saved_selection_becomes_a_checkpoint(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from diffusers import PixArtTransformer2DModel

    saved = tmp_path / "x.selected.json"
    assert main(["select", str(profile), "--top-percentage", "40", "--output", str(saved)]) == 0
    chosen = json.loads(saved.read_text())
    target = tmp_path / "checkpoint"
    arguments = ["export", str(saved), "--format", "diffusers", "--device", "cpu"]
    assert main([*arguments, "--output", str(target), "--display", "none"]) == 0
    transformer = PixArtTransformer2DModel.from_pretrained(str(target))
    quantized = {
        name.removesuffix(".weight")
        for name, weight in transformer.named_parameters()
        if type(weight).__name__ == "Int8Tensor"
    }
    assert quantized == set(chosen)
    assert not list(tmp_path.glob(".checkpoint*"))
    assert main([*arguments, "--output", str(target)]) == 2
    assert "is there already" in capsys.readouterr().err
    other = [*arguments, "--model", "pixart-emoji", "--output", str(tmp_path / "other")]
    assert main([*other, "--display", "none"]) == 2
    assert "is not the model that was profiled" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


def _wait_for_death(run: Run) -> None:
    worker = run.worker()
    assert worker is not None
    while is_alive(worker, run.paths.heartbeat):
        time.sleep(0.05)


def _bytes_in(folder: Path) -> dict[str, bytes]:
    return {x.name: x.read_bytes() for x in folder.rglob("*") if x.is_file()}


@pytest.mark.parametrize("export_format", ["onediff", "torchao", "modelopt", "diffusers"])
def test_the_same_selection_gives_the_same_bytes_with_the_modes_that_the_umask_says(
    export_format: str, profile: Path, tmp_path: Path
) -> None:
    outputs = [tmp_path / name / "out.py" for name in ("one", "two")]
    arguments = ["export", str(profile), "--format", export_format, "--device", "cpu"]
    before = os.umask(0o027)
    try:
        for output in outputs:
            assert main([*arguments, "--output", str(output), "--display", "none"]) == 0
    finally:
        os.umask(before)
    first, second = (_bytes_in(output.parent) for output in outputs)
    assert len(first) == (3 if export_format == "diffusers" else 2)
    assert first == second
    for path in (tmp_path / "one").rglob("*"):
        assert path.stat().st_mode & 0o777 == (0o750 if path.is_dir() else 0o640)


def test_a_killed_export_ends_with_the_bytes_of_an_uninterrupted_one(
    profile: Path, tmp_path: Path
) -> None:
    whole, output = tmp_path / "whole", tmp_path / "new" / "checkpoint"
    arguments = ["export", str(profile), "--format", "diffusers", "--device", "cpu"]
    assert main([*arguments, "--output", str(whole), "--display", "none"]) == 0
    record = list_runs()[0].record
    assert record is not None
    run = create_run(record.request.replace(output=str(output)))
    os.kill(start_worker(run), signal.SIGKILL)
    for left in (".checkpoint.0123abcd.pixart-tui", ".checkpoint.deadbeef.pixart-tui"):
        (output.parent / left).mkdir(parents=True)
        (output.parent / left / "config.json").write_text("{")
    for _ in range(2):  # killed again, right after everything was written
        _wait_for_death(run)
        assert main(["resume", run.id, "--display", "none"]) == 0
        assert _bytes_in(output) == _bytes_in(whole)
        assert list(output.parent.iterdir()) == [output]
        lines = run.paths.events.read_bytes().splitlines(keepends=True)
        run.paths.events.write_bytes(b"".join(lines[:-2]))
    (output / "config.json").write_text("{}")
    _wait_for_death(run)
    assert main(["resume", run.id, "--display", "none"]) == 1
    assert (output / "config.json").read_text() == "{}"


@pytest.mark.parametrize("kind", ["directory", "link"])
def test_an_empty_directory_is_filled_and_stays_the_user_s(
    kind: str, profile: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    target = tmp_path / "link" if kind == "link" else folder
    if kind == "link":
        target.symlink_to(folder)
    (folder / ".pixart_tui.meta.json.0123abcd.pixart-tui").mkdir()  # of a killed export
    before = folder.stat()
    arguments = ["export", str(profile), "--format", "diffusers", "--device", "cpu"]
    assert main([*arguments, "--output", str(target), "--display", "none"]) == 0
    after = folder.stat()
    assert (after.st_ino, after.st_mode) == (before.st_ino, before.st_mode)
    assert target.is_symlink() is (kind == "link")
    assert set(_bytes_in(folder)) == {
        "config.json",
        "diffusion_pytorch_model.safetensors",
        "pixart_tui.meta.json",
    }


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--format", "gguf"], "gguf"),
        ([], "known: onediff, torchao, diffusers, modelopt"),
        (["--format", "torchao", "--exact-at", "90"], "--exact-at is for --format onediff"),
        (["--format", "onediff", "--model", "x"], "--model is for --format diffusers"),
        (["--format", "onediff", "--output", "/dev/null/x.json"], "cannot be written"),
        (["--format", "onediff", "--exact-at", "0"], "out of range"),
        (["--format", "onediff", "--max-loss", "1", "--flops-share", "1"], "exclude each other"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str], words: str, profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(profile.parent.glob("*.json"))
    assert main(["export", str(profile), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.strip().splitlines()) <= 5
    assert sorted(profile.parent.glob("*.json")) == before


def test_the_profile_itself_is_never_overwritten(
    profile: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = profile.read_text()
    assert main(["export", str(profile), "--format", "onediff", "--output", str(profile)]) == 2
    assert "is read by this command" in capsys.readouterr().err
    assert profile.read_text() == text


def test_a_profile_agrees_with_itself_and_an_edited_one_does_not(
    profile: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["--output", str(tmp_path / "again.json"), "--display", "plain", "--device", "cpu"]
    assert main(["profile", "--verify", str(profile), *again]) == 0
    assert "agrees with what was measured" in capsys.readouterr().out

    content = json.loads(profile.read_text())
    fqn = next(iter(content))
    content[fqn]["ssim"] = 0.5
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(content))
    meta = profile.with_name(f"{_QUANT_TYPE}.meta.json").read_text()
    (tmp_path / "edited.meta.json").write_text(meta)
    assert main(["profile", "--verify", str(edited), *again]) == 1
    told = capsys.readouterr().out
    assert "DISAGREES" in told
    assert f"{fqn}: 1-SSIM 5.00e-01 claimed" in told


def test_a_file_for_another_model_is_refused_before_measuring(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fp8_e4m3.json"
    path.write_text(json.dumps({"transformer_blocks.99.attn1.to_q": {"ssim": 1.0}}))
    arguments = ["profile", "--model", _MODEL, "--verify", str(path), "--display", "none"]
    assert main([*arguments, "--device", "cpu", "--prompt", "x", "--steps", "2"]) == 2
    assert "layers that the model does not have" in capsys.readouterr().err


def test_what_a_cpu_cannot_quantize_is_refused_before_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ssims = {"a": 0.99, "b": 0.9}
    known = Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in ssims),
        excluded={},
        measurements=tuple(measurement(fqn, ssim) for fqn, ssim in ssims.items()),
    )
    path = write_profile(tmp_path / "fp8_e4m3.json", known, ssims, "cpu")
    arguments = ["export", str(path), "--format", "diffusers", "--device", "cpu"]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 2
    assert "a CPU cannot make a checkpoint in fp8_e4m3_e4m3_dynamic" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_a_format_cannot_say_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for quant_type in ("int8_dynamic", "fp8_e5m2_weightonly"):
        ssims = {"a": 0.99, "b": 0.9} if quant_type == "int8_dynamic" else {"a": 0.9, "b": 0.99}
        measured = tuple(
            measurement(fqn, ssim).replace(quant_type=quant_type) for fqn, ssim in ssims.items()
        )
        known = Profile(
            conditions=conditions().replace(quant_type=quant_type),
            layers=tuple(layer(fqn) for fqn in ssims),
            excluded={},
            measurements=measured,
        )
        paths.append(str(write_profile(tmp_path / f"{quant_type}.json", known, ssims, "cpu")))
    before = sorted(tmp_path.iterdir())
    for name, words in (
        ("onediff", "OneDiff's JSON holds layers of one quant type"),
        ("modelopt", "modelopt cannot say fp8_e5m2_weightonly"),
    ):
        assert main(["export", *paths, "--flops-share", "1", "--format", name]) == 2
        assert words in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_a_verification_is_exported_as_it_was_verified_and_last_means_what_can_be(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ssims = {"a": 0.99, "b": 0.9, "c": 0.95}
    known = Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in ssims),
        excluded={},
        measurements=tuple(measurement(fqn, ssim) for fqn, ssim in ssims.items()),
    )
    path = write_profile(tmp_path / "fp8_e4m3.json", known, ssims, "cpu")
    verified = tmp_path / "verified.json"
    assert main(["select", str(path), "--top-percentage", "67", "--output", str(verified)]) == 0
    run = create_run(
        VerifyRequest(profiles=(str(path),), rule="max-loss", parameter=0.1, output=str(verified))
    )
    append(run, started())
    give_worker(run, alive=True)
    assert main(["export", "last", "--format", "onediff"]) == 2
    assert "its selection is not verified yet" in capsys.readouterr().err
    append(run, AttemptFinished(state="done"))
    later = create_run(BenchRequest())
    assert later.id != run.id
    target = tmp_path / "out.json"
    assert main(["export", "last", "--format", "onediff", "--output", str(target)]) == 0
    assert json.loads(target.read_text()) == {"a": {"ssim": 0.99}, "c": {"ssim": 0.95}}
    refused = ["export", "last", "--format", "onediff", "--flops-share", "1"]
    assert main([*refused, "--output", str(target)]) == 2
    assert "is a selection already" in capsys.readouterr().err
