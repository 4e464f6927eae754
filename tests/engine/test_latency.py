"""Timing layers for real on a CPU, in int8; ``test_latency_cuda.py`` does it on a GPU."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import CancelledError
from pixart_tui.domain.layers.latency import Latency, LinearShape
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine import latency as timing
from pixart_tui.engine.latency import measure_latencies, measure_latency, quantized_linear
from pixart_tui.engine.quant.simulated import SimulatedLinear

CPU = torch.device("cpu")
INT8 = parse_quant_type("int8_dynamic")


def _layer(fqn: str = "x", rows: int = 64, k: int = 128, n: int = 64, bias: bool = True) -> Layer:
    return Layer(fqn=fqn, in_features=k, out_features=n, has_bias=bias, rows=rows)


def _linear(k: int = 128, n: int = 64, *, bias: bool = True) -> tuple[nn.Linear, Tensor]:
    generator = torch.Generator().manual_seed(3)
    linear = nn.Linear(k, n, bias=bias, dtype=torch.bfloat16)
    linear.weight.data = torch.randn(n, k, generator=generator).bfloat16()
    return linear, torch.randn(48, k, generator=generator).bfloat16()


def test_a_layer_is_timed_in_bfloat16_and_quantized() -> None:
    small, large = (measure_latency(_layer(rows=rows), INT8, CPU) for rows in (32, 4096))
    for found in (small, large):
        assert found.quantized is not None
        assert 1e-7 < found.quantized < 1.0
        assert 1e-7 < found.unquantized < 1.0
        assert 0 <= found.noise < found.unquantized + found.quantized
        assert found.reason == ""
    assert large.unquantized > small.unquantized


def test_each_distinct_shape_is_measured_once_and_known_ones_never() -> None:
    layers = [
        _layer("a"),
        _layer("b"),
        _layer("more rows", rows=96),
        _layer("no bias", bias=False),
        _layer("known", n=32),
    ]
    known = {LinearShape.of(layers[-1]): Latency(unquantized=1.0)}
    found = [shape for shape, _ in measure_latencies(layers, INT8, CPU, known=known)]
    assert len(found) == len(set(found)) == 3
    assert set(found) == {LinearShape.of(layer) for layer in layers[:4]}
    assert found[0].rows == 96


def test_a_layer_that_the_rules_exclude_is_timed_unquantized_alone() -> None:
    found = measure_latency(_layer(n=20), INT8, CPU)
    assert found.unquantized > 0
    assert found.quantized is None
    assert "multiples of 8" in found.reason


def test_a_kernel_that_fails_gives_a_reason_and_no_time() -> None:
    found = measure_latency(_layer(), parse_quant_type("fp8_e4m3_e4m3_dynamic"), CPU)
    assert found.unquantized > 0
    assert found.quantized is None
    assert "kernel failed" in found.reason


@pytest.mark.parametrize("bias", [True, False])
def test_what_is_timed_computes_the_quantized_layer(bias: bool) -> None:
    linear, x = _linear(bias=bias)
    before = linear.weight.detach().clone()
    with torch.no_grad():
        expected = SimulatedLinear(linear, INT8)(x)
        actual = quantized_linear(linear, INT8)(x)
    assert float((actual - expected).norm() / expected.norm()) < 0.01
    assert torch.equal(linear.weight, before)
    assert type(linear.weight) is nn.Parameter


def test_timing_leaves_the_random_state_alone() -> None:
    state = torch.get_rng_state()
    measure_latency(_layer(), INT8, CPU)
    assert torch.equal(torch.get_rng_state(), state)


def test_weights_and_inputs_differ_are_random_and_larger_than_the_cache() -> None:
    linears, inputs = timing._random_sets(_layer(rows=1024, k=1024, n=512), CPU)
    used = sum(x.nbytes for x in inputs) + sum(linear.weight.nbytes for linear in linears)
    assert used + 1024 * 512 * 2 * len(inputs) >= 2 * timing._CPU_CACHE_BYTES
    assert len({x.data_ptr() for x in inputs}) == len(inputs) == len(linears) > 1
    assert not torch.equal(inputs[0], inputs[1])
    assert float(inputs[0].float().std()) == pytest.approx(1.0, abs=0.05)


def test_a_check_that_raises_ends_the_work() -> None:
    def check() -> None:
        raise CancelledError("cancelled")

    with pytest.raises(CancelledError):
        next(measure_latencies([_layer()], INT8, CPU, known={}, check=check))


class _Stage:
    """A clock, and passes that move it on."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.played: list[float] = []

    def mark(self) -> float:
        return self.now_s

    def elapsed_s(self, first: float, last: float) -> float:
        return last - first

    def is_past(self, mark: float) -> bool:
        return True

    def taking(self, seconds: float) -> Callable[[], None]:
        def once() -> None:
            self.now_s += seconds
            self.played.append(seconds)

        return once


def test_two_passes_are_timed_in_turn() -> None:
    stage = _Stage()
    samples = timing._sample_with(stage, [stage.taking(3.0), stage.taking(1.0)])
    assert samples.shape == (timing._FEWEST, 2)
    assert np.allclose(samples, [3.0, 1.0])
    assert stage.played == [3.0, 1.0] * (timing._FEWEST + 3)


def test_short_passes_are_repeated_more_often() -> None:
    stage = _Stage()
    assert len(timing._sample_with(stage, [stage.taking(1e-5)])) == timing._MOST
    assert len(timing._sample_with(stage, [stage.taking(timing._BUDGET_S / 10)])) == 10


def test_the_noise_is_that_of_the_difference_and_shrinks_with_repeats() -> None:
    drifting = np.linspace(1.0, 2.0, 16)
    together = timing._latency(np.stack([drifting, drifting - 0.25], axis=1))
    assert together.noise == pytest.approx(0.0)
    assert together.speeds_up
    apart = np.stack([drifting, np.full(16, 1.4)], axis=1)
    assert not timing._latency(apart).speeds_up
    repeated = np.tile(apart, (100, 1))
    assert timing._latency(repeated).noise == pytest.approx(timing._latency(apart).noise / 10, 0.01)
