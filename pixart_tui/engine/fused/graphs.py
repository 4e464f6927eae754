"""Calls that are captured as a CUDA graph once per shape and replayed from then on."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor

OnCapture: TypeAlias = Callable[[float], None]
"""Called with each captured graph and the seconds that it took, warm-up included."""

_WARMUP_CALLS: Final = 2
_GRAPHS_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    output: Tensor


class GraphPool:
    """The memory of graphs that are replayed one after another, never side by side.

    Between its replays a graph holds nothing that anybody needs (inputs and outputs are copied),
    so all graphs of a pipeline work in the same memory: as much as the hungriest one takes.

    Args:
        on_capture: Called with each graph that is captured with this pool.
    """

    def __init__(self, on_capture: OnCapture = lambda _elapsed_s: None) -> None:
        self._on_capture = on_capture

    @cached_property
    def _handle(self) -> Any:
        return torch.cuda.graph_pool_handle()

    def capture(self, function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> _Captured:
        """A function of tensors as a graph; compiles and warms up what it needs before."""
        started_s = time.perf_counter()
        kept = [x.clone() for x in inputs]
        _warm_up(function, kept)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._handle):
            output = function(*kept)
        torch.cuda.synchronize()
        self._on_capture(time.perf_counter() - started_s)
        return _Captured(graph, kept, output)


class GraphedCalls:
    """Replays functions of tensors.

    A graph reads fixed addresses: inputs are copied there, the output is copied out. Whatever
    else the function reads must stay where it is and may change in place.

    Args:
        pool: Where the graphs work.
    """

    def __init__(self, pool: GraphPool) -> None:
        self._pool = pool
        self._captured: OrderedDict[Hashable, _Captured] = OrderedDict()

    def call(
        self, function: Callable[..., Tensor], inputs: Sequence[Tensor], extra: Hashable = None
    ) -> Tensor:
        """``function(*inputs)``.

        Args:
            function: Does the same work at each call with inputs of the same shapes, without
                waiting for the device.
            inputs: CUDA tensors.
            extra: Tells functions apart that read different other things.
        """
        key = (extra, *((x.shape, x.dtype, x.stride()) for x in inputs))
        captured = self._captured.get(key)
        if captured is None:
            captured = self._captured[key] = self._pool.capture(function, inputs)
            if len(self._captured) > _GRAPHS_KEPT:
                self._captured.popitem(last=False)
        for kept, new in zip(captured.inputs, inputs, strict=True):
            kept.copy_(new)
        captured.graph.replay()
        return captured.output.clone()


def graphed(function: Callable[[Tensor], Tensor], pool: GraphPool) -> Callable[[Tensor], Tensor]:
    """A function of one tensor, captured and replayed."""
    graphs = GraphedCalls(pool)
    return lambda x: graphs.call(function, [x])


@lru_cache
def _side_stream(_device: int) -> torch.cuda.Stream:
    """One for all warm-ups: cuBLAS keeps a workspace of 32 MiB for each stream it has seen."""
    return torch.cuda.Stream()  # type: ignore[no-untyped-call]


def _warm_up(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> None:
    """Kernels are compiled and libraries find their workspaces before anything is captured."""
    stream = _side_stream(torch.cuda.current_device())
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(_WARMUP_CALLS):
            function(*inputs)
    torch.cuda.current_stream().wait_stream(stream)
