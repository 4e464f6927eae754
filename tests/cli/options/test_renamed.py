"""Earlier names of options and values."""

from __future__ import annotations

import pytest

from pixart_tui.cli.main import main
from pixart_tui.domain.events.profile import ProfilePlanned
from pixart_tui.domain.requests import BenchRequest, VerifyRequest
from tests.runs.builders import planned


def test_the_matrix_has_its_earlier_name(capsys: pytest.CaptureFixture[str]) -> None:
    listed = []
    for name in ("onediff", "seed"):
        assert main(["bench", "--matrix", name, "--list-rows"]) == 0
        listed.append(capsys.readouterr().out)
    assert listed[0] == listed[1]
    assert "torch-fp8" in listed[0]


@pytest.mark.parametrize("name", ["--compare-onediff", "--seed-rule"])
def test_the_option_that_compares_has_its_earlier_name(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["select", "nowhere.json", "--max-loss", "1e-3", name]) == 2
    assert "--verify" in capsys.readouterr().err


def test_help_names_the_present_names_alone(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("select", "bench"):
        assert main([command, "--help"]) == 0
        told = capsys.readouterr().out
        assert "onediff" in told
        assert "seed-rule" not in told
        assert "[seed]" not in told


def test_requests_and_events_of_earlier_versions_are_read() -> None:
    assert BenchRequest.model_validate({"matrix": "seed"}).matrix == "onediff"
    old = {"profiles": ["p.json"], "rule": "max-loss", "parameter": 1.0, "output": "o.json"}
    assert VerifyRequest.model_validate(old | {"seed_rule": True}).onediff_rule
    written = planned("a").model_dump(mode="json")
    del written["replicas"]
    assert ProfilePlanned.model_validate(written | {"lanes": 2}).replicas == 2
