"""Describes the measuring machine, its device and the versions of its software."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Final

import psutil
import torch

from pixart_tui.domain.provenance import Machine, Versions
from pixart_tui.machine.cpu import processor_name

_PACKAGES: Final = (
    "pixart-tui",
    "torch",
    "triton",
    "diffusers",
    "transformers",
    "torchao",
    "numpy",
)


def describe_machine(device: torch.device) -> Machine:
    """The machine, seen from the device that does the work."""
    on_gpu = device.type == "cuda"
    gpu = torch.cuda.get_device_properties(device) if on_gpu else None
    return Machine(
        device="cuda" if on_gpu else "cpu",
        device_name=gpu.name if gpu else processor_name(),
        cpu_cores=len(psutil.Process().cpu_affinity() or [0]),
        memory_bytes=psutil.virtual_memory().total,
        gpu_memory_bytes=gpu.total_memory if gpu else None,
        os=f"{platform.system()} {platform.release()}",
    )


def describe_versions() -> Versions:
    """Python and the packages that results depend on; packages that are absent are left out."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found | {"torch": torch.__version__}
