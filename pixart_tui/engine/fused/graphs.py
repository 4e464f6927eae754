"""Calls that are captured as a CUDA graph once per shape and replayed from then on."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor

OnCapture: TypeAlias = Callable[[float], None]
"""Told of each captured graph, and the seconds that it took with its warm-up."""

_WARMUP_CALLS: Final = 2
_GRAPHS_KEPT: Final = 8


@dataclass(frozen=True, slots=True)
class _Captured:
    graph: torch.cuda.CUDAGraph
    inputs: Sequence[Tensor]
    output: Tensor


class GraphedCalls:
    """Replays functions of tensors.

    A graph reads fixed addresses: inputs are copied there, the output is copied out. Whatever
    else the function reads must stay where it is and may change in place.

    Args:
        on_capture: Told of each graph.
    """

    def __init__(self, on_capture: OnCapture) -> None:
        self._on_capture = on_capture
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
            captured = self._captured[key] = self._capture(function, inputs)
            if len(self._captured) > _GRAPHS_KEPT:
                self._captured.popitem(last=False)
        for kept, new in zip(captured.inputs, inputs, strict=True):
            kept.copy_(new)
        captured.graph.replay()
        return captured.output.clone()

    def _capture(self, function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> _Captured:
        started_s = time.perf_counter()
        captured = _capture(function, inputs)
        torch.cuda.synchronize()
        self._on_capture(time.perf_counter() - started_s)
        return captured


def graphed(
    function: Callable[[Tensor], Tensor], on_capture: OnCapture
) -> Callable[[Tensor], Tensor]:
    """A function of one tensor, captured and replayed."""
    graphs = GraphedCalls(on_capture)
    return lambda x: graphs.call(function, [x])


def _capture(function: Callable[..., Tensor], inputs: Sequence[Tensor]) -> _Captured:
    kept = [x.clone() for x in inputs]
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        # Kernels are compiled and libraries find their workspaces before anything is captured.
        for _ in range(_WARMUP_CALLS):
            function(*kept)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = function(*kept)
    return _Captured(graph, kept, output)
