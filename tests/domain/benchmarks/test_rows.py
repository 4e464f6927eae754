from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.benchmarks.rows import (
    BenchCase,
    BenchRow,
    Clocks,
    ColdCall,
    Figures,
    RowCase,
    RowStatus,
    Statistic,
    warmup_s,
)
from pixart_tui.domain.deploying.deployment import Deployment
from pixart_tui.domain.layers.choice import Choice

_SECONDS = st.floats(0.01, 1e4)


def _calls(*pairs: tuple[float, float | None]) -> tuple[ColdCall, ...]:
    return tuple(ColdCall(elapsed_s=s, iterations_per_s=speed) for s, speed in pairs)


@pytest.mark.parametrize(
    ("calls", "expected_s"),
    [
        (_calls((30.0, 1.0), (0.5, 95.0), (0.5, 100.0)), 30.0),
        (_calls((30.0, 1.0), (4.0, 94.9), (0.5, 100.0)), 34.0),
        (_calls((30.0, 100.0), (4.0, 5.0), (3.0, 5.0)), 37.0),
        (_calls((30.0, None), (4.0, None)), 30.0),
        (_calls((30.0, 1.0)), 30.0),
    ],
)
def test_a_warm_up_ends_where_full_speed_begins(
    calls: tuple[ColdCall, ...], expected_s: float
) -> None:
    assert warmup_s(calls, 100.0) == expected_s


def test_without_a_speed_the_first_call_is_the_warm_up() -> None:
    assert warmup_s(_calls((30.0, 1.0), (4.0, 2.0)), None) == 30.0


@given(st.lists(st.tuples(_SECONDS, _SECONDS), min_size=1, max_size=5), _SECONDS)
def test_a_warm_up_lasts_from_the_first_call_to_all_of_them(
    pairs: list[tuple[float, float]], speed: float
) -> None:
    calls = _calls(*pairs)
    found_s = warmup_s(calls, speed)
    total_s = 0.0
    for call in calls:
        total_s += call.elapsed_s
    assert calls[0].elapsed_s <= found_s <= total_s


def test_clocks_of_several_processes_are_one() -> None:
    one = Clocks(sm_mhz=1700, power_w=600, temperature_c=60, samples=10)
    other = Clocks(sm_mhz=1900, power_w=500, temperature_c=70, samples=20)
    expected = Clocks(sm_mhz=1800, power_w=550, temperature_c=65, samples=30)
    assert Clocks.pooled([one, other]) == expected
    assert Clocks.pooled([one]) == one


def test_a_name_of_its_own_goes_before_that_of_the_deployment() -> None:
    deployment = Deployment(compiler="torch", choice=Choice.of_one("int8_dynamic", ["proj_out"]))
    assert BenchCase(deployment=deployment).label == "torch+int8_dynamic"
    assert BenchCase(deployment=deployment, name="mine").label == "mine"


def test_a_row_is_one_flat_object_in_json_and_comes_back() -> None:
    row = BenchRow(
        case=RowCase(
            label="none",
            model="m",
            height=8,
            width=16,
            steps=2,
            compiler="none",
            dtype="float32",
            peak_kind="process",
        ),
        status=RowStatus.DONE,
        figures=Figures(ssim=0.5, e2e_s=Statistic.of([1.0])),
    )
    written = json.loads(row.model_dump_json())
    assert list(written)[:2] == ["label", "status"]
    assert (written["width"], written["ssim"], written["e2e_s"]["median"]) == (16, 0.5, 1.0)
    assert BenchRow.model_validate_json(row.model_dump_json()) == row
