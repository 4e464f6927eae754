"""Which machines can use each other's compiled code, told without importing torch."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import runpy
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import Final

from pixart_tui.domain.errors import RequestError
from pixart_tui.domain.provenance import Versions
from pixart_tui.domain.values import Value
from pixart_tui.machine.cpu import processor_name

_UUID: Final = re.compile(r"(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class MachineKind(Value):
    """The kind of machine that compiled code is made for: machines of one kind can exchange it.

    Attributes:
        device_name: The GPU's name, or the processor's.
        compute_capability: ``9.0``; empty on a CPU.
        platform: Operating system and architecture.
        versions: torch, triton, CUDA and Python (``3.12``); empty for one that is not there.
    """

    device_name: str
    compute_capability: str
    platform: str
    versions: Versions

    @property
    def key(self) -> str:
        """A name for a directory: readable, and unique for each kind."""
        name = re.sub(r"[^A-Za-z0-9]+", "-", self.device_name).strip("-").lower()[:40]
        digest = hashlib.sha256(self.model_dump_json().encode()).hexdigest()
        return f"{name}-{digest[:12]}"

    def differences(self, other: MachineKind) -> list[str]:
        """Returns why this machine cannot use the other's code: ``torch 2.13.0, not 2.11.0``."""
        mine, theirs = _facts(self), _facts(other)
        return [
            f"{name} {mine[name] or 'none'}, not {theirs.get(name) or 'none'}"
            for name in mine
            if mine[name] != theirs.get(name)
        ]


def _facts(kind: MachineKind) -> dict[str, str]:
    return {
        "device": kind.device_name,
        "compute capability": kind.compute_capability,
        "platform": kind.platform,
        **kind.versions,
    }


def machine_kind(device: str) -> MachineKind:
    """The kind of this machine, seen from the device that does the work.

    Args:
        device: ``cpu`` or ``cuda:N``.

    Raises:
        RequestError: There is no such GPU, or its driver does not answer.
    """
    # Code that is made for a CPU uses every instruction that this model has.
    name, capability = (processor_name(), "") if device == "cpu" else _gpu(device)
    return MachineKind(
        device_name=name,
        compute_capability=capability,
        platform=f"{platform.system()} {platform.machine()}",
        versions=_versions(),
    )


def _gpu(device: str) -> tuple[str, str]:
    import pynvml

    try:
        pynvml.nvmlInit()
        gpu = visible_gpu(device)
        by_uuid, by_index = pynvml.nvmlDeviceGetHandleByUUID, pynvml.nvmlDeviceGetHandleByIndex
        handle = by_index(int(gpu)) if gpu.isdecimal() else by_uuid(gpu)
        major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
        name = pynvml.nvmlDeviceGetName(handle)
    except pynvml.NVMLError as error:
        raise RequestError(f"{device} cannot be asked for its name", cause=str(error)) from error
    return str(name), f"{major}.{minor}"


def visible_gpu(device: str) -> str:
    """Returns NVML's name of ``cuda:N``: a number among all GPUs, or a UUID.

    NVML counts all GPUs, CUDA those that ``CUDA_VISIBLE_DEVICES`` leaves.
    """
    index = int(device.partition(":")[2] or 0)
    visible = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    named = all(part.isdecimal() or _UUID.fullmatch(part) for part in visible)
    return visible[index] if named and index < len(visible) else str(index)


def _versions() -> Versions:
    return {
        "torch": _version("torch"),
        "triton": _version("triton"),
        "CUDA": _cuda_version(),
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _cuda_version() -> str:
    """The CUDA that torch was built for; its ``version.py`` tells it without the rest of torch."""
    try:
        found = runpy.run_path(str(distribution("torch").locate_file("torch/version.py")))
    except (PackageNotFoundError, OSError):
        return ""
    return found.get("cuda") or ""
