"""Chooses device and threads of a new run where the user names none."""

from __future__ import annotations

import os


def count_gpus() -> int:
    """NVIDIA GPUs of this machine, asked of the driver so that torch need not be imported."""
    import pynvml

    try:
        pynvml.nvmlInit()
        return int(pynvml.nvmlDeviceGetCount())
    except pynvml.NVMLError:
        return 0


def default_device() -> str:
    """The first GPU if there is one, else the CPU."""
    return "cuda:0" if count_gpus() else "cpu"


def default_threads() -> int:
    """One thread for each core that this process may use."""
    return len(os.sched_getaffinity(0))
