from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pixart_tui.domain.benchmarks.matrix import (
    BEST_CONFIG,
    MATRIX,
    MATRIX_MEMORY,
    PUBLISHED,
    matrix_cases,
    scattered_file,
    speeds_up,
    torch_config,
    wanted_rows,
)
from pixart_tui.domain.benchmarks.rows import BenchCase
from pixart_tui.domain.deploying.deployment import MemoryOptions
from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.files import onediff_file
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.steps import NO_STEPS, KeptSteps
from pixart_tui.domain.requests import BenchRequest
from pixart_tui.domain.selecting import onediff_rule

_REQUEST = BenchRequest(matrix="onediff")
_FP8 = "fp8_e4m3_e4m3_dynamic"


def _layer(fqn: str, k: int, n: int, rows: int) -> Layer:
    return Layer(fqn=fqn, in_features=k, out_features=n, has_bias=True, rows=rows)


def _alpha() -> tuple[Layer, ...]:
    """The 290 linears of PixArt-XL alpha at 1024x1024, guidance on: 2 x 4096 tokens, 2 x 120."""
    tokens, text, width = 8192, 240, 1152
    kinds = {
        **{f"attn1.{name}": (width, width, tokens) for name in ("to_q", "to_k", "to_v")},
        "attn1.to_out.0": (width, width, tokens),
        "attn2.to_q": (width, width, tokens),
        **{f"attn2.{name}": (width, width, text) for name in ("to_k", "to_v")},
        "attn2.to_out.0": (width, width, tokens),
        "ff.net.0.proj": (width, 4 * width, tokens),
        "ff.net.2": (4 * width, width, tokens),
    }
    blocks = {
        f"transformer_blocks.{block}.{kind}": shape
        for block in range(28)
        for kind, shape in kinds.items()
    }
    embedders = {
        f"adaln_single.emb.{name}.linear_{number}": (width, width, 2)
        for name in ("timestep_embedder", "resolution_embedder", "aspect_ratio_embedder")
        for number in (1, 2)
    }
    rest = {
        "adaln_single.linear": (width, 6 * width, 2),
        "caption_projection.linear_1": (4096, width, text),
        "caption_projection.linear_2": (width, width, text),
        "proj_out": (width, 32, tokens),
    }
    return tuple(_layer(fqn, *shape) for fqn, shape in (blocks | embedders | rest).items())


def _cases(request: BenchRequest = _REQUEST, *simulated: str, gpu: bool = True) -> list[BenchCase]:
    layers = _alpha()
    scattered = onediff_rule.chosen_layers(onediff_file.parse(scattered_file(layers), "x"), 90)
    return list(matrix_cases(request, layers, simulated, scattered, on_gpu=gpu))


def _by_label(cases: list[BenchCase]) -> dict[str, BenchCase]:
    return {case.label: case for case in cases}


def test_what_pays_are_the_wide_layers_over_image_tokens() -> None:
    layers = _alpha()
    assert len(layers) == 290
    paying = [layer for layer in layers if speeds_up(layer)]
    assert {layer.kind for layer in paying} == {
        "attn1.to_q",
        "attn1.to_k",
        "attn1.to_v",
        "attn1.to_out.0",
        "attn2.to_q",
        "attn2.to_out.0",
        "ff.net.0.proj",
        "ff.net.2",
    }
    assert len(paying) == 8 * 28


def test_the_scattered_file_keeps_a_tenth_of_every_kind_all_over_the_model() -> None:
    layers = {layer.fqn: layer for layer in _alpha()}
    ssim = onediff_file.parse(scattered_file(tuple(layers.values())), "x")
    assert len(ssim) == 224
    chosen = onediff_rule.chosen_layers(ssim, 90)
    assert len(chosen) == 201
    kept = [layers[fqn] for fqn in ssim if fqn not in chosen]
    assert len(kept) == 23
    assert len({layer.kind for layer in kept}) >= 7
    blocks = sorted(layer.block for layer in kept if layer.block is not None)
    assert max(b - a for a, b in pairwise(blocks)) <= 2


@given(st.integers(1, 300), st.integers(10, 100))
def test_any_share_is_spread_evenly(count: int, percentage: int) -> None:
    layers = [_layer(f"transformer_blocks.{i}.ff.net.2", 64, 64, 4096) for i in range(count)]
    ssim = onediff_file.parse(scattered_file(layers), "x")
    chosen = set(onediff_rule.chosen_layers(ssim, percentage))
    half = count // 2
    first = sum(layer.fqn in chosen for layer in layers[:half])
    assert abs(first - half * percentage / 100) <= 4


def test_small_models_in_which_nothing_pays_have_all_their_block_layers_in_it() -> None:
    small = "transformer_blocks.0.ff.net.2"
    layers = [_layer(small, 64, 64, 16), _layer("proj_out", 64, 64, 16)]
    assert list(onediff_file.parse(scattered_file(layers), "x")) == [small]


def test_a_gpu_has_every_row_under_its_own_name() -> None:
    cases = _cases()
    assert [case.label for case in cases] == [row.name for row in MATRIX]
    assert cases[0] == BenchCase()


def test_the_compiler_torch_gets_what_the_request_says_outside_a_matrix() -> None:
    request = BenchRequest(compiler_config='{"mode": "jit"}')
    assert torch_config(request, on_gpu=True) == '{"mode": "jit"}'
    assert torch_config(_REQUEST, on_gpu=True) == BEST_CONFIG
    assert torch_config(_REQUEST, on_gpu=False) == ""


def test_our_rows_are_compiled_as_the_report_does_for_the_best_performance() -> None:
    cases = _by_label(_cases())
    for label, case in cases.items():
        expected = BEST_CONFIG if label.startswith("torch") else ""
        assert case.deployment.compiler_config == expected, label
    assert cases["torch"].deployment.choice.quant_type is None
    assert len(cases["torch-fp8"].deployment.choice.assignments) == 224
    assert len(cases["torch-fp8-90"].deployment.choice.assignments) == 201
    assert len(cases["stock-best"].deployment.choice.assignments) == 290
    assert cases["torch-fp8-attention"].deployment.fp8_attention
    assert cases["torch-fp8-memory"].deployment.memory == MATRIX_MEMORY
    assert [x for x, case in cases.items() if case.deployment.fp8_attention] == [
        "torch-fp8-attention"
    ]


def test_the_requests_memory_options_go_before_the_matrixs() -> None:
    options = MemoryOptions(vae="sliced")
    cases = _by_label(_cases(BenchRequest(matrix="onediff", memory=options)))
    assert cases["torch-fp8-memory"].deployment.memory == options
    assert cases["torch-fp8"].deployment.memory == MemoryOptions()


def test_a_cpu_has_the_rows_that_say_something_there() -> None:
    fp8 = (_FP8, f"{_FP8}_per_tensor")
    cases = _by_label(_cases(_REQUEST, *fp8, gpu=False))
    assert list(cases) == [
        "none",
        "compile",
        "torch",
        "torch-fp8",
        "torch-fp8-90",
        "torch-fp8-tensor",
        "torch-int8",
    ]
    assert cases["torch-fp8"].deployment.compiler == "none"
    assert cases["torch-int8"].deployment.compiler == "torch"
    assert all(case.deployment.compiler_config == "" for case in cases.values())


def test_a_part_of_the_rows_has_the_baseline_in_it() -> None:
    rows = wanted_rows(BenchRequest(matrix="onediff", rows=("torch-int8", "compile")))
    assert [row.name for row in rows] == ["none", "compile", "torch-int8"]


def test_a_row_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(RequestError, match="'torch-fp4'") as caught:
        wanted_rows(BenchRequest(matrix="onediff", rows=("torch-fp4",)))
    assert "stock-best" in caught.value.cause


def test_what_was_published_stands_with_the_row_that_does_the_same() -> None:
    assert set(PUBLISHED) == {"torch", "torch-fp8", "torch-fp8-tensor", "torch-int8"}
    assert PUBLISHED["torch-fp8"].iteration_speed == 21.8


def test_rows_that_quantize_keep_steps_under_names_that_nothing_was_published_for() -> None:
    kept = KeptSteps(last=1)
    cases = _cases(_REQUEST.replace(kept_steps=kept))
    for case, plain in zip(cases, _cases(), strict=True):
        quantized = case.deployment.choice.quant_type is not None
        assert case.deployment.choice.kept_steps == (kept if quantized else NO_STEPS)
        assert case.label == plain.label + ("+keep-last-1" if quantized else "")
        assert not (quantized and case.label in PUBLISHED)
