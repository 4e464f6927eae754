from __future__ import annotations

import json
from pathlib import Path

import pytest

from pixart_tui.domain.benchmark import BenchResult
from pixart_tui.domain.deployment import Deployment
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.domain.selecting.choice import Choice
from pixart_tui.domain.selecting.steps import NO_STEPS, KeptSteps

_RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("kept", "label"),
    [
        (NO_STEPS, ""),
        (KeptSteps(last=1), "keep-last-1"),
        (KeptSteps(first=2, last=3), "keep-first-2+keep-last-3"),
    ],
)
def test_a_deployments_name_says_which_steps_are_kept(kept: KeptSteps, label: str) -> None:
    deployment = Deployment(choice=Choice.of_one("int8_dynamic", ["proj_out"], kept))
    assert kept.label == label
    assert deployment.label == "+".join(filter(None, ("none", "int8_dynamic", label)))
    assert bool(deployment.doubled_layers) is bool(kept)


@pytest.mark.parametrize("kept", [KeptSteps(first=4), KeptSteps(first=1, last=3)])
def test_a_step_must_be_left(kept: KeptSteps) -> None:
    kept.check_leaves_some(5)
    for steps in (1, 3, 4):
        with pytest.raises(RequestError, match="leaves none to quantize") as raised:
            kept.check_leaves_some(steps)
        assert raised.value.cause
        assert raised.value.next_step


def test_keeping_none_is_never_refused() -> None:
    NO_STEPS.check_leaves_some(1)


def test_a_request_and_its_deployment_come_back_from_their_json() -> None:
    kept = KeptSteps(first=1, last=2)
    deployment = Deployment(choice=Choice.of_one("int8_dynamic", ["proj_out"], kept))
    for value in (BenchRequest(quantize=True, kept_steps=kept), deployment):
        assert type(value).model_validate_json(value.model_dump_json()) == value


def test_files_of_earlier_versions_keep_no_steps() -> None:
    text = (_RESULTS / "cpu-pixart-emoji.json").read_text()
    assert all("kept_steps" not in row for row in json.loads(text)["rows"])
    result = BenchResult.model_validate_json(text)
    assert {row.kept_steps for row in result.rows} == {NO_STEPS}
    row = result.rows[-1].model_copy(update={"kept_steps": KeptSteps(last=1)})
    assert type(row).model_validate_json(row.model_dump_json()) == row
