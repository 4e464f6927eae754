"""A run's load at this moment: shown while it works, and never kept.

It is no event: a journal holds what a run found, and would grow by this every second.
"""

from __future__ import annotations

from typing import Literal

from pixart_tui.domain.values import Value

LIVE_VERSION = 1


class Gauges(Value):
    """How busy the device is.

    Attributes:
        source: ``gpu``, by NVML: all of the GPU, whatever uses it; or ``processes``: those of the
            run alone.
        utilization: 1 for a GPU that always ran a kernel over the last sample, or for one CPU core.
        memory_bytes: Memory in use; of processes, what is resident.
        memory_total_bytes: Memory of the device.
        power_w: Power draw.
        temperature_c: Temperature.
    """

    source: Literal["gpu", "processes"]
    utilization: float | None
    memory_bytes: int | None
    memory_total_bytes: int | None
    power_w: float | None = None
    temperature_c: float | None = None


class Pace(Value):
    """How fast a benchmark's row goes.

    Attributes:
        label: The row.
        iterations_per_s: Denoising steps per second over stretches of half a second, or of a step
            where that takes longer; the newest last. Steps that end a call in a shorter stretch
            are left out.
    """

    label: str
    iterations_per_s: tuple[float, ...]


class Live(Value):
    """The content of ``live.json``: each sample takes the place of the one before.

    Attributes:
        v: Version of the format.
        t: Unix time of the sample.
        cpu_cores: Cores that the worker may use.
        gauges: How busy the device is, None where nothing tells.
        pace: How fast a benchmark goes, None without one.
    """

    v: int = LIVE_VERSION
    t: float
    cpu_cores: int
    gauges: Gauges | None = None
    pace: Pace | None = None
