"""The largest memory over a stretch of work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import torch

_RESET_PEAK_RSS: Final = "5"
_PEAK_RSS: Final = re.compile(r"^VmHWM:\s+(\d+) kB$", re.MULTILINE)


def reset_peak(device: torch.device) -> None:
    """Starts a stretch.

    On a CPU the kernel may refuse it (a container without ``/proc/self/clear_refs``); the peak is
    then that of the whole process, which is never less.
    """
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text(_RESET_PEAK_RSS)
    except OSError:
        return


def peak_bytes(device: torch.device) -> int:
    """Peak since the reset: allocated by torch on CUDA, else the process's resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    found = _PEAK_RSS.search(Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("/proc/self/status has no VmHWM")
    return int(found.group(1)) * 1024


def peak_reserved_bytes(device: torch.device) -> int | None:
    """Most that torch's CUDA allocator has held since the reset, None on a CPU.

    The pools of CUDA graphs count here and not as allocated.
    """
    return torch.cuda.max_memory_reserved(device) if device.type == "cuda" else None
