"""The time of each layer on the device: from the cache, or measured and put there."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch

from pixart_tui.caches.latency_cache import LatencyCache, LatencyKey
from pixart_tui.domain.events import LatencyMeasured, ProfilePlanned, StageChanged
from pixart_tui.domain.events.stages import Stage
from pixart_tui.domain.layers.latency import Latency, LinearShape, latency_by_layer
from pixart_tui.domain.layers.layers import Layer
from pixart_tui.domain.layers.quant_rules import HOPPER
from pixart_tui.domain.layers.quant_types import FP8_ATTENTION, parse_quant_type
from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.engine.latency import KERNELS, measure_attention_latency, measure_latencies
from pixart_tui.engine.quant.execution import Execution, plan_execution
from pixart_tui.worker.context import Check, Emit


def time_layers(
    layers: Sequence[Layer], device: torch.device, key: LatencyKey, emit: Emit, check: Check
) -> LatencyMeasured:
    """Every layer's time in bfloat16 and in a quant type, or why there is none.

    Args:
        layers: Every linear layer of the model.
        device: Where the layers run; on a CPU with the threads that torch uses now.
        key: What the times hold for, the quant type among it; see ``latency_key``.
        emit: Takes the stage.
        check: Called before each shape; may raise to give up.
    """
    quant_type = parse_quant_type(key.quant_type)
    plan = plan_execution(quant_type, device)
    if plan.execution is Execution.SIMULATED:
        return LatencyMeasured(quant_type=quant_type.name, latencies={}, reason=plan.reason)
    cache = LatencyCache.open(key)
    _report(cache.problem, emit)
    shapes = {LinearShape.of(layer) for layer in layers}
    found: dict[LinearShape, Latency] = {s: x for s, x in cache.known.items() if s in shapes}
    emit(StageChanged(stage=Stage.LATENCY, detail=_progress(len(found), len(shapes))))
    for shape, latency in measure_latencies(layers, quant_type, device, known=found, check=check):
        found[shape] = latency
        emit(StageChanged(stage=Stage.LATENCY, detail=_progress(len(found), len(shapes))))
    # Without those that could not be quantized: the reason may be gone next time.
    new = {s: x for s, x in found.items() if x.quantized is not None and s not in cache.known}
    if new:
        _report(cache.store(new), emit)
    return LatencyMeasured(quant_type=quant_type.name, latencies=latency_by_layer(layers, found))


def time_attention(plan: ProfilePlanned, device: torch.device, emit: Emit) -> LatencyMeasured:
    """The time of every block's attention in bfloat16 and in fp8, or why there is none.

    It is not cached: the blocks are of one shape, which takes a moment.

    Args:
        plan: What is measured, attention among it.
        device: Where it runs.
        emit: Takes the stage.
    """
    able = [x for x in plan.attention if x.fqn not in plan.attention_excluded]
    reason = ""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) != HOPPER:
        reason = "the fp8 attention kernel is written for compute capability 9.0"
    if reason or not able:
        return LatencyMeasured(quant_type=FP8_ATTENTION, latencies={}, reason=reason)
    emit(StageChanged(stage=Stage.LATENCY, detail="self-attention"))
    found = measure_attention_latency(able[0], device)
    return LatencyMeasured(quant_type=FP8_ATTENTION, latencies={layer.fqn: found for layer in able})


def latency_key(machine: Machine, versions: Versions, quant_type: str, threads: int) -> LatencyKey:
    """Returns the key of measured times: GPU model, or processor and threads, and software."""
    on_gpu = machine.device == "cuda"
    return LatencyKey(
        device=machine.device_name if on_gpu else f"{machine.device_name}, {threads} threads",
        torch=versions.get("torch", ""),
        triton=versions.get("triton", ""),
        torchao=versions.get("torchao", ""),
        kernels=KERNELS,
        quant_type=quant_type,
    )


def _progress(done: int, total: int) -> str:
    return f"{done} of {total} shapes of layers are timed"


def _report(problem: str, emit: Emit) -> None:
    if problem:
        print(problem, file=sys.stderr)  # noqa: T201 - the log
        emit(StageChanged(stage=Stage.LATENCY, detail=f"{problem}; measuring"))
