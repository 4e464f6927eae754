"""Names the processor."""

from __future__ import annotations

import platform
from pathlib import Path


def processor_name() -> str:
    """Returns the processor's model, or its architecture where the system names no model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()
