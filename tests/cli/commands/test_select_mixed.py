"""``select`` over several profiles; their figures are made up here."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.profiles.profile import Profile
from pixart_tui.domain.requests import ProfileRequest, VerifyRequest, output_of
from pixart_tui.runs.results.profile_files import profile_sidecar
from pixart_tui.runs.run import Run
from tests.samples import QUANT_TYPE, conditions, layer, measurement, write_profile
from tests.tui import adjoint_runs

_INT8 = "int8_dynamic"
_EMBEDDED = Path(__file__).parents[3] / "profiles" / "pixart-emoji" / "fp8_e4m3.json"


def _write(path: Path, quant_type: str, ssims: dict[str, float], **changes: object) -> Path:
    profile = Profile(
        conditions=conditions().replace(**({"quant_type": quant_type} | changes)),
        layers=tuple(layer(fqn) for fqn in ("a", "b", "c")),
        excluded={fqn: "too small" for fqn in ("a", "b", "c") if fqn not in ssims},
        measurements=tuple(
            measurement(fqn, ssim).replace(quant_type=quant_type) for fqn, ssim in ssims.items()
        ),
    )
    return write_profile(path, profile, ssims, "cpu")


@pytest.fixture
def profiles(tmp_path: Path) -> list[str]:
    fp8 = _write(tmp_path / "fp8_e4m3.json", QUANT_TYPE, {"a": 0.99, "b": 0.95, "c": 0.98})
    int8 = _write(tmp_path / "int8_dynamic.json", _INT8, {"a": 0.97, "b": 0.999})
    return [str(fp8), str(int8)]


def test_each_layer_gets_the_quant_type_that_costs_it_least(
    profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", *profiles, "--flops-share", "1"]) == 0
    told = capsys.readouterr().out
    assert f"2 {QUANT_TYPE}, 1 {_INT8}" in told
    assert "our own JSON: OneDiff's holds one quant type, at every step" in told
    written = Path(profiles[0]).with_name("mixed.selected.json")
    layers = json.loads(written.read_text())["layers"]
    assert {fqn: found["quant_type"] for fqn, found in layers.items()} == {
        "a": QUANT_TYPE,
        "b": _INT8,
        "c": QUANT_TYPE,
    }
    meta = Path(onediff_file.sidecar_path(written)).read_text()
    record = sidecar.parse(meta, "meta", SelectionSidecar)
    assert record.profiles == ("fp8_e4m3.json", "int8_dynamic.json")
    assert record.use_with_top_percentage is None
    assert record.measured_ssim["b"] == pytest.approx(0.999)


def test_a_run_of_several_quant_types_is_all_of_them_or_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = adjoint_runs.small(QUANT_TYPE, _INT8, seeds=1)
    run = adjoint_runs.finished(tmp_path, plan)
    assert main(["select", run.id]) == 2
    assert "give one quant type, or another rule" in capsys.readouterr().err
    assert main(["select", run.id, "--flops-share", "1"]) == 0
    assert "mixed.selected.json" in capsys.readouterr().out
    assert main(["select", run.id, "--quant-type", _INT8]) == 0
    told = capsys.readouterr().out
    assert "77 of 86 layers" in told
    assert (tmp_path / "int8_dynamic.selected.json").is_file()
    assert main(["select", run.id, "--quant-type", "int4_weightonly"]) == 2
    told = capsys.readouterr().err
    assert "no profile is of int4_weightonly" in told
    assert f"there is {QUANT_TYPE}, {_INT8}" in told


def test_so_is_what_is_exported_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = adjoint_runs.finished(tmp_path, adjoint_runs.small(QUANT_TYPE, _INT8, seeds=1))
    asked = ["export", run.id, "--format", "onediff", "--top-percentage", "50"]
    assert main(asked) == 2
    assert "give one quant type" in capsys.readouterr().err
    assert main([*asked, "--quant-type", QUANT_TYPE]) == 0
    assert len(json.loads((tmp_path / "fp8_e4m3.selected.json").read_text())) == 42


def test_a_run_is_verified_by_the_files_that_it_wrote(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Run] = []
    monkeypatch.setattr("pixart_tui.cli.display.starting.start_worker", started.append)
    run = adjoint_runs.finished(tmp_path, adjoint_runs.small(QUANT_TYPE, _INT8, seeds=1))
    run.poll()
    request = run.record.request if run.record else None
    assert isinstance(request, ProfileRequest)
    for profile in run.snapshot.profiling.profiles:
        quant_type = profile.conditions.quant_type
        path = output_of(request, quant_type)
        record = profile_sidecar(run.snapshot, run.id, datetime.now(UTC), quant_type)
        ssims = {s.layer.fqn: s.ssim for s in record.layers if s.ssim is not None}
        path.write_text(onediff_file.render(ssims))
        Path(onediff_file.sidecar_path(path)).write_text(sidecar.render(record))
    asked = ["select", run.id, "--max-loss", "0.01", "--verify", "--detach"]
    assert main(asked) == 0
    (verification,) = started
    assert verification.record is not None
    verified = verification.record.request
    assert isinstance(verified, VerifyRequest)
    assert [Path(path).name for path in verified.profiles] == ["fp8_e4m3.json", "int8_dynamic.json"]
    capsys.readouterr()

    other = Path(onediff_file.sidecar_path(output_of(request, _INT8)))
    other.write_text(other.read_text().replace('"samples": 4', '"samples": 3', 1))
    assert main(asked) == 2
    assert "holds another profile now" in capsys.readouterr().err


def test_a_mixed_selection_is_refused_for_onediff_with_the_reason(
    profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", *profiles, "--flops-share", "1", "--format", "onediff"]) == 2
    assert "OneDiff's JSON holds layers of one quant type" in capsys.readouterr().err
    assert not Path(profiles[0]).with_name("mixed.selected.json").exists()


def test_the_onediffs_rule_is_refused_for_several_types(
    profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", *profiles]) == 2
    assert "among layers of one quant type" in capsys.readouterr().err


def test_profiles_of_other_conditions_are_refused(
    tmp_path: Path, profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = _write(tmp_path / "other.json", _INT8, {"a": 0.9}, guidance_scale=4.5)
    assert main(["select", profiles[0], str(other), "--flops-share", "0.5"]) == 2
    assert "differ in guidance_scale" in capsys.readouterr().err


def test_the_curve_has_the_onediffs_rule_beside(
    profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", profiles[0], "--pareto"]) == 0
    told = capsys.readouterr().out
    assert "OneDiff's" in told  # the heading folds in 80 columns
    assert "predicted" in told
    assert not Path(profiles[0]).with_name("fp8_e4m3.selected.json").exists()


def test_steps_that_are_kept_count_against_the_share_and_onediff_cannot_say_them(
    profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["select", profiles[0], "--flops-share", "0.6", "--keep-last-steps", "5"]
    assert main(asked) == 0
    told = capsys.readouterr().out
    assert "steps kept: the last 5; in 16 bits" in told
    assert "3 of 3 layers, 75.0% of the linear FLOPs" in told
    written = json.loads(Path(profiles[0]).with_name("fp8_e4m3.selected.json").read_text())
    assert written["kept_steps"] == {"first": 0, "last": 5, "numbers": []}
    assert main([*asked, "--format", "onediff"]) == 2
    assert "quantizes a layer at every step" in capsys.readouterr().err


def test_a_profile_without_effects_cannot_say_which_steps(
    profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", profiles[0], "--flops-share", "0.6", "--choose-steps"]) == 2
    assert "profile with --method adjoint" in capsys.readouterr().err


def test_steps_and_layers_are_chosen_from_the_effects_of_the_embedded_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "chosen.json"
    asked = ["select", str(_EMBEDDED), "--flops-share", "0.9", "--output", str(output)]
    losses = {}
    for more in ([], ["--choose-steps"], ["--keep-steps", "1-2"]):
        assert main([*asked, *more, "--json"]) == 0
        losses[" ".join(more)] = json.loads(capsys.readouterr().out)["predicted_loss"]
    assert losses["--choose-steps"] < 0.3 * losses[""]
    # Layers may be quantized at the kept steps too, so that keeping some never costs more.
    assert losses["--keep-steps 1-2"] <= 1.005 * losses[""]
    assert main([*asked, "--choose-steps"]) == 0
    told = capsys.readouterr().out
    assert "steps kept: number 19-20; " in told
    assert "layers quantized there too" in told
    assert "(95% interval for other prompts " in told
    written = json.loads(output.read_text())
    assert written["kept_steps"]["numbers"] == [19, 20]
    assert 0 < len(written["at_every_step"]) < len(written["layers"])


def test_effects_that_were_changed_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in _EMBEDDED.parent.glob("fp8_e4m3.*"):
        shutil.copy(path, tmp_path)
    effects = tmp_path / "fp8_e4m3.effects.safetensors"
    effects.write_bytes(effects.read_bytes()[:-4] + b"\0\0\0\1")
    asked = ["select", str(tmp_path / "fp8_e4m3.json"), "--flops-share", "0.5", "--choose-steps"]
    assert main(asked) == 2
    assert "is not what fp8_e4m3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--flops-share", "0.5", "--keep-last-steps", "20"], "leaves none to quantize"),
        (["--keep-first-steps", "9", "--keep-last-steps", "11"], "leaves none to quantize"),
        (["--keep-steps", "21"], "there is no step 21"),
        (["--keep-steps", "5-2"], "names no steps"),
        (
            ["--flops-share", "0.5", "--compare-onediff", "--detach"],
            "--compare-onediff, --detach: only",
        ),
        (["--pareto", "--verify", "--max-loss", "1"], "--max-loss, --verify changes nothing"),
        (["--verify", "--json"], "use --display json"),
        (["--max-loss", "inf"], "no finite number"),
    ],
)
def test_what_would_change_nothing_is_refused(
    profiles: list[str], capsys: pytest.CaptureFixture[str], asked: list[str], told: str
) -> None:
    assert main(["select", profiles[0], *asked]) == 2
    assert told in capsys.readouterr().err
    assert not Path(profiles[0]).with_name("fp8_e4m3.selected.json").exists()


def test_a_verification_of_several_types_is_refused_for_onediff_before_it_begins(
    profiles: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["select", *profiles, "--max-loss", "0.1", "--verify", "--format", "onediff"]
    assert main(asked) == 2
    assert "OneDiff's JSON holds layers of one quant type" in capsys.readouterr().err
