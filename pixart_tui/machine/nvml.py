"""Reads GPU figures from NVML. Some containers refuse it: there is no figure then.

Without torch, so that a process that measures nothing need not load it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pynvml

from pixart_tui.domain.live import Gauges


def gpu_handle(name: str) -> Any | None:
    """NVML's handle of a GPU, None where there is none.

    Args:
        name: Its UUID, or its number among all GPUs of the machine.
    """
    try:
        pynvml.nvmlInit()
        if name.isdecimal():
            return pynvml.nvmlDeviceGetHandleByIndex(int(name))
        return pynvml.nvmlDeviceGetHandleByUUID(name)
    except pynvml.NVMLError:
        return None


def read_clocks(handle: Any) -> tuple[int, int, int]:
    """SM clock in MHz, power in mW, temperature in degrees Celsius.

    Raises:
        pynvml.NVMLError: It does not tell one of them.
    """
    return (
        pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
        pynvml.nvmlDeviceGetPowerUsage(handle),
        pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
    )


def read_gauges(handle: Any) -> Gauges | None:
    """How busy a GPU is; None where it tells nothing of it."""
    rates = _asked(pynvml.nvmlDeviceGetUtilizationRates, handle)
    memory = _asked(pynvml.nvmlDeviceGetMemoryInfo, handle)
    clocks = _asked(read_clocks, handle)
    if rates is None and memory is None and clocks is None:
        return None
    return Gauges(
        source="gpu",
        utilization=None if rates is None else rates.gpu / 100,
        memory_bytes=None if memory is None else memory.used,
        memory_total_bytes=None if memory is None else memory.total,
        power_w=None if clocks is None else clocks[1] / 1000,
        temperature_c=None if clocks is None else clocks[2],
    )


def _asked(question: Callable[[Any], Any], handle: Any) -> Any | None:
    try:
        return question(handle)
    except pynvml.NVMLError:
        return None
