"""Clock, power and temperature of the GPU during a stretch of work, from NVML."""

from __future__ import annotations

import statistics
import threading
from types import TracebackType
from typing import Any, Final

import pynvml
import torch

from pixart_tui.domain.benchmarks.rows import Clocks
from pixart_tui.machine.nvml import gpu_handle, read_clocks

SAMPLE_EVERY_S: Final = 0.05


class ClockSampler:
    """Samples in a thread of its own while the context is open; nothing on a CPU.

    NVML may refuse, as it does in some containers: there is no figure then.
    """

    def __init__(self, device: torch.device) -> None:
        self._handle = _nvml_handle(device)
        self._samples: list[tuple[int, int, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> ClockSampler:
        """Starts sampling."""
        if self._handle is not None:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stops it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def clocks(self) -> Clocks | None:
        """Medians over the samples, None without one."""
        if not self._samples:
            return None
        sm_mhz, power_mw, temperature_c = (
            statistics.median(values) for values in zip(*self._samples, strict=True)
        )
        return Clocks(
            sm_mhz=sm_mhz,
            power_w=power_mw / 1000,
            temperature_c=temperature_c,
            samples=len(self._samples),
        )

    def _sample(self) -> None:
        try:
            while not self._stop.wait(SAMPLE_EVERY_S):
                self._samples.append(read_clocks(self._handle))
        except pynvml.NVMLError:
            return


def _nvml_handle(device: torch.device) -> Any | None:
    """NVML's handle of torch's device, None where there is none; found by UUID.

    NVML counts all GPUs of the machine, torch those that ``CUDA_VISIBLE_DEVICES`` leaves.
    """
    if device.type != "cuda":
        return None
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return gpu_handle(f"GPU-{uuid.removeprefix('GPU-')}")
