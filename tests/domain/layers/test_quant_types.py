from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files.exporting import modelopt
from pixart_tui.domain.files.exporting.formats import EXPORT_FORMATS, check_expressible
from pixart_tui.domain.layers.quant_types import (
    QUANT_TYPE_NAMES,
    Granularity,
    NumberFormat,
    QuantType,
    coarsest,
    default_profile_filename,
    parse_quant_type,
)
from pixart_tui.domain.selecting.selection import Selection

E4M3, E5M2 = NumberFormat.E4M3, NumberFormat.E5M2
PER_AXIS, PER_TENSOR = Granularity.PER_AXIS, Granularity.PER_TENSOR

ACCEPTED_BY_NEXFORT = [
    "int8_dynamic",
    "int8_weightonly",
    "int4_weightonly",
    "fp8_e4m3_e4m3_dynamic",
    "fp8_e4m3_e5m2_dynamic",
    "fp8_e5m2_e4m3_dynamic",
    "fp8_e5m2_e5m2_dynamic",
    "fp8_e4m3_e4m3_dynamic_per_tensor",
    "fp8_e4m3_e5m2_dynamic_per_tensor",
    "fp8_e5m2_e4m3_dynamic_per_tensor",
    "fp8_e5m2_e5m2_dynamic_per_tensor",
    "fp8_e4m3_e4m3_weightonly",
    "fp8_e4m3_e5m2_weightonly",
    "fp8_e5m2_e4m3_weightonly",
    "fp8_e5m2_e5m2_weightonly",
    "fp8_e4m3_e4m3_weightonly_per_tensor",
    "fp8_e4m3_e5m2_weightonly_per_tensor",
    "fp8_e5m2_e4m3_weightonly_per_tensor",
    "fp8_e5m2_e5m2_weightonly_per_tensor",
    "fp8_e4m3_weightonly",
    "fp8_e5m2_weightonly",
]


def test_every_name_that_nexfort_accepts_and_no_other() -> None:
    assert sorted(QUANT_TYPE_NAMES) == sorted(ACCEPTED_BY_NEXFORT)


@pytest.mark.parametrize("name", ACCEPTED_BY_NEXFORT)
def test_a_parsed_type_keeps_its_name(name: str) -> None:
    assert parse_quant_type(name).name == name


@pytest.mark.parametrize(
    ("name", "weight", "activation", "granularity"),
    [
        ("fp8_e4m3_e4m3_dynamic", E4M3, E4M3, PER_AXIS),
        ("fp8_e4m3_e5m2_dynamic", E5M2, E4M3, PER_AXIS),
        ("fp8_e5m2_e4m3_dynamic_per_tensor", E4M3, E5M2, PER_TENSOR),
        ("fp8_e4m3_e5m2_weightonly", E5M2, None, PER_AXIS),
        ("fp8_e5m2_e4m3_weightonly_per_tensor", E4M3, None, PER_TENSOR),
        ("fp8_e5m2_weightonly", E5M2, None, PER_AXIS),
        ("int8_dynamic", NumberFormat.INT8, NumberFormat.INT8, PER_AXIS),
        ("int8_weightonly", NumberFormat.INT8, None, PER_AXIS),
    ],
)
def test_the_activation_format_is_named_before_the_weight_format(
    name: str, weight: NumberFormat, activation: NumberFormat | None, granularity: Granularity
) -> None:
    assert parse_quant_type(name) == QuantType(name, weight, activation, granularity, None)


def test_int4_is_grouped() -> None:
    quant_type = parse_quant_type("int4_weightonly")
    assert quant_type.weight is NumberFormat.INT4
    assert quant_type.granularity is Granularity.PER_GROUP
    assert quant_type.group_size == 128


@pytest.mark.parametrize("name", ACCEPTED_BY_NEXFORT)
def test_weight_only_is_what_the_name_says(name: str) -> None:
    assert parse_quant_type(name).weight_only == ("weightonly" in name)


def test_a_quant_type_cannot_be_changed() -> None:
    quant_type = parse_quant_type("int8_dynamic")
    with pytest.raises(dataclasses.FrozenInstanceError):
        quant_type.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("fp8_e4m3_e4m3_dynmic", "fp8_e4m3_e4m3_dynamic"),
        ("int8", "int8_dynamic"),
        ("int4_weight_only", "int4_weightonly"),
        ("FP8_E4M3_E4M3_DYNAMIC", "fp8_e4m3_e4m3_dynamic"),
        ("", "fp8_e4m3_e4m3_dynamic"),
    ],
)
def test_an_unknown_name_is_told_with_the_closest_ones(wrong: str, meant: str) -> None:
    with pytest.raises(RequestError) as caught:
        parse_quant_type(wrong)
    assert meant in caught.value.next_step
    assert repr(wrong) in caught.value.title
    assert caught.value.exit_code == 2


@given(st.text())
def test_any_other_text_is_refused_in_few_lines(text: str) -> None:
    if text in ACCEPTED_BY_NEXFORT:
        return
    with pytest.raises(RequestError) as caught:
        parse_quant_type(text)
    assert len(caught.value.lines()) <= 5
    assert all("\n" not in line for line in caught.value.lines())


@pytest.mark.parametrize(
    ("name", "filename"),
    [
        ("fp8_e4m3_e4m3_dynamic", "fp8_e4m3.json"),
        ("fp8_e4m3_e4m3_dynamic_per_tensor", "per_tensor_fp8_e4m3.json"),
        ("int8_dynamic", "int8_dynamic.json"),
        ("fp8_e4m3_e5m2_dynamic_per_tensor", "fp8_e4m3_e5m2_dynamic_per_tensor.json"),
    ],
)
def test_profiles_have_the_published_file_names(name: str, filename: str) -> None:
    assert default_profile_filename(name) == filename


def test_every_type_has_a_rounding_and_every_export_says_or_refuses_it() -> None:
    every = [parse_quant_type(name) for name in QUANT_TYPE_NAMES]
    assert {one.weight for one in every} == set(NumberFormat)
    assert coarsest(every) in every
    for one in every:
        selection = selection_of(one.name)
        for export_format in EXPORT_FORMATS:
            try:
                check_expressible(selection, export_format)
            except RequestError:
                continue
            if export_format == "modelopt":
                assert "num_bits" in modelopt.render_python(selection)


def selection_of(quant_type: str) -> Selection:
    return Selection(
        rule="top-percentage",
        parameter=100,
        quant_type=quant_type,
        assignments={"proj_out": quant_type},
        chosen=("proj_out",),
        kept=(),
        flops_share=1.0,
        predicted_loss=0.0,
    )
