"""Timing layers on a GPU: the figures must be possible, repeatable and those of the real kernel."""

from __future__ import annotations

import gc
import time

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_rules import HOPPER
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine import latency as timing
from pixart_tui.engine.latency import (
    measure_attention_latency,
    measure_latencies,
    measure_latency,
    quantized_linear,
)
from pixart_tui.engine.quant.simulated import SimulatedLinear

pytestmark = pytest.mark.gpu

CUDA = torch.device("cuda")
TYPES = [
    "fp8_e4m3_e4m3_dynamic",
    "fp8_e4m3_e4m3_dynamic_per_tensor",
    "fp8_e4m3_weightonly",
    "int8_dynamic",
    "int8_weightonly",
    "int4_weightonly",
]
FEED_FORWARD = Layer(
    fqn="ff.net.0.proj", in_features=1152, out_features=4608, has_bias=True, rows=8192
)
EMBEDDER = Layer(fqn="linear_1", in_features=256, out_features=1152, has_bias=True, rows=2)


def _linear() -> tuple[nn.Linear, Tensor]:
    generator = torch.Generator().manual_seed(3)
    linear = nn.Linear(1152, 512, device=CUDA, dtype=torch.bfloat16)
    linear.weight.data = torch.randn(512, 1152, generator=generator).to(CUDA, torch.bfloat16)
    return linear, torch.randn(256, 1152, generator=generator).to(CUDA, torch.bfloat16)


@pytest.mark.parametrize("name", TYPES)
def test_a_captured_graph_holds_the_quantized_layer(name: str) -> None:
    quant_type, (linear, x) = parse_quant_type(name), _linear()
    results: list[Tensor] = []
    with torch.no_grad():
        expected = SimulatedLinear(linear, quant_type)(x)
        run = quantized_linear(linear, quant_type)
        replay = timing._captured(lambda: results.append(run(x)), CUDA)
        results[-1].zero_()
        replay()
    torch.cuda.synchronize()
    assert float((results[-1] - expected).float().norm() / expected.float().norm()) < 0.02


@pytest.mark.parametrize("name", TYPES)
def test_every_quant_type_is_timed(name: str) -> None:
    found = measure_latency(FEED_FORWARD, parse_quant_type(name), CUDA)
    assert found.reason == ""
    assert found.quantized is not None
    assert 0 < found.noise < 0.1 * found.unquantized
    # From 4 PFLOP/s, which no GPU of today reaches, to 5 TFLOP/s.
    assert FEED_FORWARD.flops / 4e15 < found.quantized < FEED_FORWARD.flops / 5e12


def test_a_figure_repeats_and_is_near_what_the_gpu_can_do() -> None:
    quant_type = parse_quant_type("fp8_e4m3_e4m3_dynamic")
    first, second = (measure_latency(FEED_FORWARD, quant_type, CUDA) for _ in range(2))
    assert second.unquantized == pytest.approx(first.unquantized, rel=0.1)
    assert second.quantized == pytest.approx(first.quantized, rel=0.1)
    weight_bytes = 2 * FEED_FORWARD.in_features * FEED_FORWARD.out_features
    assert first.unquantized > weight_bytes / 10e12


def test_a_graph_hides_the_launch_of_small_layers() -> None:
    found = measure_latency(EMBEDDER, parse_quant_type("int8_weightonly"), CUDA)
    assert 5e-7 < found.unquantized < 2e-5


def test_a_shape_takes_less_than_a_fifth_of_a_second() -> None:
    quant_type = parse_quant_type("fp8_e4m3_e4m3_dynamic")
    measure_latency(FEED_FORWARD, quant_type, CUDA)  # libraries and kernels are loaded now
    start_s = time.perf_counter()
    found = list(measure_latencies([FEED_FORWARD, EMBEDDER], quant_type, CUDA, known={}))
    assert (time.perf_counter() - start_s) / len(found) < 0.2


def test_timing_gives_its_memory_back() -> None:
    measure_latency(FEED_FORWARD, parse_quant_type("fp8_e4m3_e4m3_dynamic"), CUDA)
    gc.collect()
    before = torch.cuda.memory_allocated()
    measure_latency(FEED_FORWARD, parse_quant_type("fp8_e4m3_e4m3_dynamic"), CUDA)
    gc.collect()
    assert torch.cuda.memory_allocated() == before


@pytest.mark.skipif(
    torch.cuda.is_available() and torch.cuda.get_device_capability() != HOPPER,
    reason="needs compute capability 9.0",
)
def test_attention_of_pixart_is_faster_in_fp8() -> None:
    attention = Layer(
        fqn="transformer_blocks.0.attn1",
        in_features=4096,
        out_features=1152,
        has_bias=False,
        rows=8192,
        heads=16,
        operation="attention",
    )
    found = measure_attention_latency(attention, CUDA)
    # 990 TFLOP/s is the most that the tensor cores do in bfloat16.
    assert attention.flops / found.unquantized < 1e15
    assert found.speeds_up
