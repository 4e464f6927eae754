from __future__ import annotations

import pytest

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_rules import (
    attention_exclusion,
    exclusion_reason,
    hardware_limit,
)
from pixart_tui.domain.layers.quant_types import QUANT_TYPE_NAMES, parse_quant_type

H100, A100, T4, V100 = (9, 0), (8, 0), (7, 5), (7, 0)


def layer(in_features: int, out_features: int, rows: int = 8192) -> Layer:
    return Layer(
        fqn="proj_out",
        in_features=in_features,
        out_features=out_features,
        has_bias=True,
        rows=rows,
    )


@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
def test_pixarts_own_shapes_fit_every_kernel(name: str) -> None:
    for shape in ((1152, 1152), (1152, 4608), (4608, 1152), (4096, 1152), (1152, 32)):
        assert exclusion_reason(layer(*shape), parse_quant_type(name)) is None


@pytest.mark.parametrize(
    ("shape", "named"), [((72, 64), "K = 72"), ((64, 40), "N = 40"), ((8, 8), "K = 8, N = 8")]
)
@pytest.mark.parametrize(
    "name", ["fp8_e4m3_e4m3_dynamic", "fp8_e5m2_e4m3_dynamic", "fp8_e4m3_e4m3_dynamic_per_tensor"]
)
def test_scaled_mm_wants_multiples_of_16(shape: tuple[int, int], named: str, name: str) -> None:
    reason = exclusion_reason(layer(*shape), parse_quant_type(name))
    assert reason == f"torch._scaled_mm needs multiples of 16: {named}"


@pytest.mark.parametrize("name", [name for name in QUANT_TYPE_NAMES if "weightonly" in name])
def test_weight_only_has_no_matmul_rule(name: str) -> None:
    quant_type = parse_quant_type(name)
    grouped = quant_type.group_size is not None
    reason = exclusion_reason(layer(7, 5, rows=1), quant_type)
    assert (reason is not None) == grouped


@pytest.mark.parametrize(("in_features", "fits"), [(64, False), (128, True), (200, False)])
def test_int4_wants_whole_groups(in_features: int, fits: bool) -> None:
    reason = exclusion_reason(layer(in_features, 5, rows=1), parse_quant_type("int4_weightonly"))
    assert (reason is None) == fits
    assert fits or f"K = {in_features} " in str(reason)


@pytest.mark.parametrize(
    ("in_features", "out_features", "rows", "fits"),
    [
        (8, 8, 17, True),
        (8, 8, 16, False),
        (256, 1536, 2, False),
        (12, 8, 100, False),
        (8, 12, 100, False),
    ],
)
def test_int_mm_wants_multiples_of_8_and_more_than_16_rows(
    in_features: int, out_features: int, rows: int, fits: bool
) -> None:
    reason = exclusion_reason(
        layer(in_features, out_features, rows), parse_quant_type("int8_dynamic")
    )
    assert (reason is None) == fits


@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
def test_a_hopper_gpu_runs_all_but_two_e5m2_matrices(name: str) -> None:
    limit = hardware_limit(parse_quant_type(name), H100)
    assert (limit is not None) == name.startswith("fp8_e5m2_e5m2_dynamic")


@pytest.mark.parametrize("capability", [None, A100, H100])
def test_two_e5m2_matrices_multiply_nowhere(capability: tuple[int, int] | None) -> None:
    quant_type = parse_quant_type("fp8_e5m2_e5m2_dynamic_per_tensor")
    limit = str(hardware_limit(quant_type, capability))
    assert "fp8_e4m3_e5m2_dynamic_per_tensor" in limit


@pytest.mark.parametrize(
    ("name", "capability", "runs"),
    [
        ("fp8_e4m3_e4m3_dynamic", (8, 9), True),
        ("fp8_e4m3_e4m3_dynamic", (8, 6), False),
        ("fp8_e4m3_e4m3_dynamic", None, False),
        ("fp8_e4m3_e4m3_weightonly", V100, True),
        ("fp8_e5m2_e5m2_weightonly", None, True),
        ("int8_dynamic", T4, True),
        ("int8_dynamic", V100, False),
        ("int8_dynamic", None, True),
        ("int8_weightonly", V100, True),
        ("int4_weightonly", A100, True),
        ("int4_weightonly", T4, False),
        ("int4_weightonly", None, False),
    ],
)
def test_what_runs_on_which_device(
    name: str, capability: tuple[int, int] | None, runs: bool
) -> None:
    assert (hardware_limit(parse_quant_type(name), capability) is None) == runs


@pytest.mark.parametrize("capability", [None, V100, T4, A100, (8, 6)])
def test_what_is_advised_instead_does_run(capability: tuple[int, int] | None) -> None:
    for name in QUANT_TYPE_NAMES:
        limit = hardware_limit(parse_quant_type(name), capability)
        if limit is None or name.startswith("fp8_e5m2_e5m2_dynamic"):
            continue
        for advised in limit.rpartition("; use ")[2].split(" or "):
            assert hardware_limit(parse_quant_type(advised), capability) is None


def test_a_limit_names_both_capabilities() -> None:
    limit = str(hardware_limit(parse_quant_type("fp8_e4m3_e4m3_dynamic"), A100))
    assert "8.9" in limit
    assert "8.0" in limit


@pytest.mark.parametrize(("channels", "able"), [(24, False), (32, True), (72, True), (76, False)])
def test_heads_that_fp8_attention_takes(channels: int, able: bool) -> None:
    reason = attention_exclusion(channels)
    assert (reason is None) == able
    assert reason is None or str(channels) in reason
    assert attention_exclusion(136) is not None
