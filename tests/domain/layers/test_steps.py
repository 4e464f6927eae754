from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.benchmarks.rows import BenchResult
from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps, parse_numbers, spell_numbers
from pixart_tui.domain.requests import BenchRequest

_RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


@pytest.mark.parametrize(
    ("kept", "label"),
    [
        (NO_STEPS, ""),
        (KeptSteps(last=1), "keep-last-1"),
        (KeptSteps(first=2, last=3), "keep-first-2+keep-last-3"),
        (KeptSteps(numbers=(20, 9, 10, 11)), "keep-9-11,20"),
        (KeptSteps(last=1, numbers=(3,)), "keep-last-1+keep-3"),
    ],
)
def test_a_deployments_name_says_which_steps_are_kept(kept: KeptSteps, label: str) -> None:
    deployment = Deployment(choice=Choice.of_one("int8_dynamic", ["proj_out"], kept))
    assert kept.label == label
    assert deployment.label == "+".join(filter(None, ("none", "int8_dynamic", label)))
    assert bool(deployment.doubled_layers) is bool(kept)


@pytest.mark.parametrize(
    "kept",
    [KeptSteps(first=4), KeptSteps(first=1, last=3), KeptSteps(last=3, numbers=(1,))],
)
def test_a_step_must_be_left(kept: KeptSteps) -> None:
    kept.check_leaves_some(5)
    for steps in (1, 3, 4):
        with pytest.raises(RequestError, match="leaves none to quantize") as raised:
            kept.check_leaves_some(steps)
        assert raised.value.cause
        assert raised.value.next_step


def test_a_step_that_there_is_not_is_refused() -> None:
    with pytest.raises(RequestError, match="there is no step 9"):
        KeptSteps(numbers=(2, 9)).check_leaves_some(8)


def test_first_last_and_others_are_kept_together() -> None:
    kept = KeptSteps(first=1, last=2, numbers=(4, 8))
    assert kept.kept(8) == (0, 3, 6, 7)
    assert [kept.quantizes(step, 8) for step in range(8)] == [
        step not in (0, 3, 6, 7) for step in range(8)
    ]
    assert kept.quantized_share(8) == 0.5
    assert kept.words == "the first 1 and the last 2 and number 4,8"


@given(st.sets(st.integers(1, 60), min_size=1))
def test_numbers_are_read_as_they_are_spelled(numbers: set[int]) -> None:
    expected = tuple(sorted(numbers))
    text = spell_numbers(expected)
    assert parse_numbers(text) == expected
    assert parse_numbers(text.replace(",", " , ").replace("-", " - ")) == expected
    assert KeptSteps(numbers=tuple(numbers)).numbers == expected


@given(st.text(alphabet="0123456789-, x", max_size=12))
def test_any_text_is_numbers_or_a_clear_error(text: str) -> None:
    with suppress(RequestError):
        found = parse_numbers(text)
        assert found[0] >= 1
        assert parse_numbers(spell_numbers(found)) == found


@pytest.mark.parametrize("text", ["", "0", "5-3", "1,,2", "a", "-1", "1-", "1-2-3"])
def test_what_is_no_list_of_steps_is_refused(text: str) -> None:
    with pytest.raises(RequestError, match="names no steps") as raised:
        parse_numbers(text)
    assert raised.value.option == "--keep-steps"
    assert raised.value.next_step


def test_keeping_none_is_never_refused() -> None:
    NO_STEPS.check_leaves_some(1)


def test_a_request_and_its_deployment_come_back_from_their_json() -> None:
    kept = KeptSteps(first=1, last=2)
    deployment = Deployment(choice=Choice.of_one("int8_dynamic", ["proj_out"], kept))
    for value in (BenchRequest(quantize=True, kept_steps=kept), deployment):
        assert type(value).model_validate_json(value.model_dump_json()) == value


def test_files_of_earlier_versions_keep_no_steps() -> None:
    text = (_RESULTS / "speed" / "cpu-pixart-emoji.json").read_text()
    assert all("kept_steps" not in row for row in json.loads(text)["rows"])
    result = BenchResult.model_validate_json(text)
    assert {row.case.kept_steps for row in result.rows} == {NO_STEPS}
    last = result.rows[-1]
    row = last.replace(case=last.case.replace(kept_steps=KeptSteps(last=1)))
    assert type(row).model_validate_json(row.model_dump_json()) == row
