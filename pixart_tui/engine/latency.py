"""How long linear layers and attention take on a device, in bfloat16 and quantized, by shape."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import PixartTuiError, first_line
from pixart_tui.domain.layers.latency import Latency, LinearShape
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_rules import exclusion_reason
from pixart_tui.domain.layers.quant_types import QuantType
from pixart_tui.engine.bench.clock import Clock, CudaClock, Mark, WallClock
from pixart_tui.engine.quant.real import quantize_weight

KERNELS: Final = "fused rows, cuBLASLt, Triton int8; torchao on a CPU"
"""The kernels of ``quantized_linear``: cached times of other kernels are not used. Change both."""

DTYPE: Final = torch.bfloat16

_BUDGET_S: Final = 0.1
_FEWEST, _MOST = 7, 40
_GRAPH_CALLS: Final = 32
_MOST_SETS: Final = 32
_CPU_CACHE_BYTES: Final = 8 << 20

Run: TypeAlias = Callable[[Tensor], Tensor]
Samples: TypeAlias = npt.NDArray[np.float64]


def quantized_linear(linear: nn.Linear, quant_type: QuantType) -> Run:
    """Builds the deployed form of a linear, with the activation's quantization.

    Args:
        linear: bfloat16, on the device that will run it; it is left alone.
        quant_type: What it becomes.

    Returns:
        A function from (M, K) to (M, N), bfloat16, that a CUDA graph can hold.

    Raises:
        RequestError: The kernel cannot take this shape.
        WorkError: torchao failed.
    """
    quantized = copy.deepcopy(linear)
    quantize_weight(quantized, quant_type)
    return quantized if linear.weight.device.type == "cpu" else _fused(quantized)


def _fused(quantized: nn.Linear) -> Run:
    """The linear as the fused transformer runs it, its activation quantized by one kernel."""
    from pixart_tui.engine.fused.linears import LinearGroup
    from pixart_tui.engine.kernels.rows import pass_rows

    group = LinearGroup([quantized])
    return lambda x: group(pass_rows(x, group.wanted, tokens=x.shape[0])[1])[0]


def measure_latencies(
    layers: Sequence[Layer],
    quant_type: QuantType,
    device: torch.device,
    *,
    known: Mapping[LinearShape, Latency],
    check: Callable[[], None] = lambda: None,
) -> Iterator[tuple[LinearShape, Latency]]:
    """Measures each distinct shape that is not known, largest first.

    Args:
        layers: Every linear layer of the model.
        quant_type: One that the device runs for real (``plan_execution``).
        device: A CPU or a CUDA device.
        known: Shapes that need no measuring.
        check: Called before each shape; may raise to give up.
    """
    by_shape = {LinearShape.of(layer): layer for layer in layers}
    todo = [(shape, layer) for shape, layer in by_shape.items() if shape not in known]
    for shape, layer in sorted(todo, key=lambda item: item[1].flops, reverse=True):
        check()
        yield shape, measure_latency(layer, quant_type, device)


@torch.no_grad()
def measure_latency(layer: Layer, quant_type: QuantType, device: torch.device) -> Latency:
    """A layer's time in bfloat16 and in the quant type, with random weights and activations.

    Both are timed alternately, so that a change of the clock rate meets both. On a GPU each is a
    CUDA graph of many products one after another: no time of the processor is in the figure.
    Weights and inputs rotate, so that the cache does not hold them.

    Args:
        layer: Only its shape matters.
        quant_type: One that the device runs for real.
        device: A CPU or a CUDA device.
    """
    linears, inputs = _random_sets(layer, device)
    plain = _looped(linears, inputs, device)
    reason = exclusion_reason(layer, quant_type)
    if reason is None:
        try:
            runs = [quantized_linear(linear, quant_type) for linear in linears]
            quantized = _looped(runs, inputs, device)
        except torch.OutOfMemoryError:
            raise
        except (PixartTuiError, RuntimeError) as error:
            reason = _refusal(error)
        else:
            return _latency(_sample([plain, quantized], device) / _calls(len(inputs), device))
    samples = _sample([plain], device) / _calls(len(inputs), device)
    return Latency(unquantized=float(np.median(samples)), reason=reason)


@torch.no_grad()
def measure_attention_latency(attention: Layer, device: torch.device) -> Latency:
    """Self-attention's time in 16 bits and in fp8, as the fused transformer runs them.

    The rounding of queries, keys and values is in the figure.

    Args:
        attention: Of any block: only its shape matters.
        device: A CUDA device.

    Raises:
        RequestError: The device has no kernel for it.
    """
    from pixart_tui.engine.fused.attention import choose_attention

    heads, tokens = attention.heads, attention.in_features
    width = attention.out_features // heads
    shape = (attention.rows // tokens, tokens, 3, heads, width)
    generator = torch.Generator(device).manual_seed(0)
    set_bytes = DTYPE.itemsize * 4 * attention.rows * attention.out_features
    sets = min(max(-(-2 * _cache_bytes(device) // set_bytes), 2), _MOST_SETS)
    inputs = [
        torch.randn(shape, generator=generator, device=device, dtype=DTYPE) for _ in range(sets)
    ]

    def timed(fp8: bool) -> Callable[[], None]:
        attend = choose_attention(device, width, fp8=fp8)
        runs: list[Run] = [lambda x: attend(*x.unbind(2))] * sets
        return _looped(runs, inputs, device)

    passes = [timed(False), timed(True)]
    return _latency(_sample(passes, device) / _calls(sets, device))


def _refusal(error: PixartTuiError | RuntimeError) -> str:
    told = error.cause or error.title if isinstance(error, PixartTuiError) else first_line(error)
    return f"its kernel failed: {told}"


def _latency(samples: Samples) -> Latency:
    """Medians over the rows of (unquantized, quantized) pairs.

    The noise is half the notch of a box plot, 1.57 interquartile ranges over the root of the
    number of samples: about a 95% interval of a median (McGill, Tukey and Larsen 1978).
    """
    low, high = np.percentile(samples[:, 0] - samples[:, 1], [25, 75])
    return Latency(
        unquantized=float(np.median(samples[:, 0])),
        quantized=float(np.median(samples[:, 1])),
        noise=float(1.57 * (high - low) / np.sqrt(len(samples))),
    )


def _random_sets(layer: Layer, device: torch.device) -> tuple[list[nn.Linear], list[Tensor]]:
    """Linears and inputs that together are twice as large as the cache."""
    generator = torch.Generator(device).manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device, dtype=DTYPE)

    k, n = layer.in_features, layer.out_features
    set_bytes = DTYPE.itemsize * (k * n + layer.rows * (k + n))
    sets = min(max(-(-2 * _cache_bytes(device) // set_bytes), 2), _MOST_SETS)
    linears = [_linear(randn(n, k), randn(n) if layer.has_bias else None) for _ in range(sets)]
    return linears, [randn(layer.rows, k) for _ in range(sets)]


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear


def _cache_bytes(device: torch.device) -> int:
    if device.type == "cpu":
        return _CPU_CACHE_BYTES
    return int(torch.cuda.get_device_properties(device).L2_cache_size)


def _calls(sets: int, device: torch.device) -> int:
    """Products in one timed pass: every set equally often; on a GPU enough to hide the launch."""
    return sets if device.type == "cpu" else sets * -(-_GRAPH_CALLS // sets)


def _looped(
    runs: Sequence[Run], inputs: Sequence[Tensor], device: torch.device
) -> Callable[[], None]:
    """One timed pass: products one after another, each set in its turn."""
    rounds = _calls(len(inputs), device) // len(inputs)

    def once() -> None:
        for _ in range(rounds):
            for run, x in zip(runs, inputs, strict=True):
                run(x)

    return once if device.type == "cpu" else _captured(once, device)


def _captured(once: Callable[[], None], device: torch.device) -> Callable[[], None]:
    """The pass as a CUDA graph, after a warm-up that loads the kernels."""
    with torch.cuda.device(device):
        once()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            once()
    return graph.replay


def _sample(passes: Sequence[Callable[[], None]], device: torch.device) -> Samples:
    """Seconds of each pass, a column each, taken in turn; the first rows only warm up."""
    if device.type == "cpu":
        return _sample_with(WallClock(), passes)
    with torch.cuda.device(device):
        return _sample_with(CudaClock(), passes)


def _sample_with(clock: Clock[Mark], passes: Sequence[Callable[[], None]]) -> Samples:
    warm = _alternate(clock, passes, 2)[-1]
    repeats = round(_BUDGET_S / float(warm.sum()))
    return _alternate(clock, passes, min(max(repeats, _FEWEST), _MOST) + 1)[1:]


def _alternate(clock: Clock[Mark], passes: Sequence[Callable[[], None]], repeats: int) -> Samples:
    # Marks do not wait, so a GPU always has its next pass in its queue.
    marks = [clock.mark()]
    for _ in range(repeats):
        for once in passes:
            once()
            marks.append(clock.mark())
    elapsed_s = [clock.elapsed_s(first, last) for first, last in pairwise(marks)]
    return np.array(elapsed_s).reshape(repeats, len(passes))
