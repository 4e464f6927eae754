"""``select`` and the profile's table where the layers were timed; the times are made up here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.cli.display.tables import print_profile
from pixart_tui.cli.main import main
from pixart_tui.domain.files import onediff_file, sidecar
from pixart_tui.domain.files.sidecar import SelectionSidecar
from pixart_tui.domain.layers.latency import Latency
from pixart_tui.domain.profiles.profile import Profile
from tests.samples import conditions, layer, measurement, write_profile

_SSIM = {"large": 0.97, "small": 0.99, "idle": 0.999}
_LATENCIES = {
    "large": Latency(unquantized=6e-3, quantized=3e-3, noise=1e-5),
    "small": Latency(unquantized=2e-3, quantized=1.5e-3, noise=1e-5),
    "idle": Latency(unquantized=1e-3, quantized=1.1e-3, noise=1e-5),
    "proj_out": Latency(unquantized=1e-3, reason="N = 24"),
}


def _profile() -> Profile:
    return Profile(
        conditions=conditions(),
        layers=tuple(layer(fqn) for fqn in _LATENCIES),
        excluded={"proj_out": "N = 24"},
        measurements=tuple(measurement(fqn, ssim) for fqn, ssim in _SSIM.items()),
        latencies=_LATENCIES,
    )


@pytest.fixture
def written(tmp_path: Path) -> Path:
    profile, path = _profile(), tmp_path / "fp8_e4m3.json"
    return write_profile(path, profile, _SSIM, "cuda")


def test_the_time_share_says_what_it_saves_and_what_does_not_pay(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", str(written), "--time-share", "0.55"]) == 0
    told = capsys.readouterr().out
    assert "time-share 0.55: 1 of 4 layers" in told
    assert "60.0% of the measured linear time; predicted to save 3.000 ms a step" in told
    assert "layers that quantizing makes no faster: 1, 0 of them chosen" in told
    selected = written.with_name("fp8_e4m3.selected.json")
    assert list(json.loads(selected.read_text())) == ["large"]
    meta = Path(onediff_file.sidecar_path(selected)).read_text()
    record = sidecar.parse(meta, "meta", SelectionSidecar)
    assert record.selection.time_share == pytest.approx(0.6)
    assert record.selection.predicted_time_saved_s == pytest.approx(3e-3)


def test_json_names_the_layers_that_do_not_pay_under_every_rule(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", str(written), "--top-percentage", "100", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["no_speedup"] == ["idle"]
    assert found["time_share"] == pytest.approx(0.9)
    assert found["predicted_time_saved_s"] == pytest.approx(3.4e-3)


def test_a_selection_that_costs_time_says_so(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", str(written), "--top-percentage", "34"]) == 0
    told = capsys.readouterr().out
    assert "10.0% of the measured linear time; predicted to cost 0.100 ms a step" in told
    assert "no faster: 1, 1 of them chosen" in told


def test_a_share_that_the_layers_that_pay_do_not_reach_is_refused(
    written: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", str(written), "--time-share", "0.9"]) == 2
    assert "they take 8 ms a step of the 9 asked for" in capsys.readouterr().err


def test_two_rules_exclude_each_other(written: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", str(written), "--time-share", "0.5", "--flops-share", "0.5"]) == 2
    assert "--flops-share and --time-share exclude each other" in capsys.readouterr().err


def test_the_profiles_table_marks_what_does_not_pay(capsys: pytest.CaptureFixture[str]) -> None:
    print_profile(_profile())
    rows = {
        row.split("│")[2].strip(): row for row in capsys.readouterr().out.splitlines() if "│" in row
    }
    assert "-50%" in rows["large"]
    assert "-25%" in rows["small"]
    assert "≈ +10%" in rows["idle"]


def test_without_times_the_table_has_no_column_for_them(capsys: pytest.CaptureFixture[str]) -> None:
    print_profile(_profile().replace(latencies={}))
    told = capsys.readouterr().out
    assert "time" not in told
    assert "≈" not in told
