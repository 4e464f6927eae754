"""Self-attention at PixArt's shape: how long our Hopper kernels take, and how far off they are.

    python -m benchmarks.attention --json FILE

Our kernel in bfloat16 and in fp8, the pass that rounds queries, keys and values for the latter, and
torch's own attention take turns in one process, so that a change of the clock rate meets all of
them. Errors are relative to float32 attention of the bfloat16 tensors. Needs a Hopper GPU.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from pixart_tui.domain.benchmarks.rows import Statistic
from pixart_tui.engine.bench.clock import CudaClock
from pixart_tui.engine.kernels.flash_attention import flash_attention, flash_attention_fp8
from pixart_tui.engine.kernels.quantize_heads import quantize_heads
from pixart_tui.engine.machine import describe_machine, describe_versions

SHAPE: Final = {"batch": 2, "tokens": 4096, "heads": 16, "head_dim": 72}
_SCALE: Final = SHAPE["head_dim"] ** -0.5
_CALLS: Final = 5
"""Calls in a captured graph: launching one costs the processor more than some take."""


def main() -> None:
    """Measures, prints a table, writes JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    device = torch.device("cuda")
    result = {
        "machine": describe_machine(device).model_dump(),
        "versions": describe_versions(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python -m benchmarks.attention", *sys.argv[1:]]),
        "shape": SHAPE,
        "rows": list(_measure(options.repeats)),
    }
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


@torch.no_grad()
def _measure(repeats: int) -> Iterator[dict[str, Any]]:
    q, k, v = _projection().unbind(2)
    codes = quantize_heads(q, k, v)
    attentions: dict[str, Callable[[], Tensor]] = {
        "torch": partial(_stock, q, k, v),
        "ours, bf16": partial(flash_attention, q, k, v, scale=_SCALE),
        "ours, fp8": partial(flash_attention_fp8, *codes, scale=_SCALE),
    }
    calls: dict[str, Callable[[], object]] = {
        **attentions,
        "quantize_heads": partial(quantize_heads, q, k, v),
    }
    reference = _reference(q, k, v)
    times = _interleaved([_captured(call) for call in calls.values()], repeats)
    for name, samples in zip(calls, times, strict=True):
        time_s = Statistic.of(samples)
        attention = attentions.get(name)
        error = None if attention is None else _error(attention(), reference)
        suffix = "" if error is None else f"  error {error:.4f}"
        print(f"{name:26s} {1e6 * time_s.median:6.1f} us{suffix}", flush=True)
        yield {
            "name": name,
            "time_s": time_s.model_dump(),
            "relative_error_to_float32": error,
        }


def _projection() -> Tensor:
    """(B, S, 3, H, D), as the fused projection leaves queries, keys and values."""
    generator = torch.Generator("cuda").manual_seed(0)
    shape = (SHAPE["batch"], SHAPE["tokens"], 3, SHAPE["heads"], SHAPE["head_dim"])
    return torch.randn(shape, generator=generator, device="cuda").bfloat16()


def _stock(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Torch's own, with the backend that it prefers."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return functional.scaled_dot_product_attention(q, k, v, scale=_SCALE).transpose(1, 2)


def _reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    out = torch.empty(q.shape, device=q.device)
    for image in range(q.shape[0]):  # the scores of one are 1 GiB
        queries, keys, values = (x[image].transpose(0, 1).float() for x in (q, k, v))
        weights = torch.softmax(queries @ keys.mT * _SCALE, -1)
        out[image] = (weights @ values).transpose(0, 1)
    return out


def _error(found: Tensor, reference: Tensor) -> float:
    return float((found.float() - reference).norm() / reference.norm())


def _captured(call: Callable[[], object]) -> torch.cuda.CUDAGraph:
    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(_CALLS):
            call()
    graph.replay()
    return graph


def _interleaved(graphs: list[torch.cuda.CUDAGraph], repeats: int) -> list[list[float]]:
    clock = CudaClock()
    times: list[list[float]] = [[] for _ in graphs]
    for _ in range(repeats):
        for graph, samples in zip(graphs, times, strict=True):
            first = clock.mark()
            graph.replay()
            samples.append(clock.elapsed_s(first, clock.mark()) / _CALLS)
    return times


if __name__ == "__main__":
    main()
