"""Finds by trying the abilities of this machine."""

from __future__ import annotations

import shutil
from importlib.util import find_spec

import torch

from pixart_tui.domain.layers.quant_rules import FP8_CAPABILITY
from pixart_tui.domain.layers.quant_types import QUANT_TYPE_NAMES, parse_quant_type
from pixart_tui.domain.values import Value
from pixart_tui.engine.fused import HOPPER, LEAST_CAPABILITY
from pixart_tui.engine.machine import describe_machine, describe_versions
from pixart_tui.engine.quant.execution import plan_execution


class Check(Value):
    """One thing that was looked at.

    Attributes:
        name: What it is.
        ok: Whether it is as one would wish.
        detail: What was found.
        next_step: What to do about it; empty where nothing is to be done.
    """

    name: str
    ok: bool
    detail: str
    next_step: str = ""


class QuantTypeSupport(Value):
    """How a quant type runs on this machine's device.

    Attributes:
        quant_type: Its name.
        execution: ``real`` or ``simulated``.
        backend: What computes it.
        reason: Why.
    """

    quant_type: str
    execution: str
    backend: str
    reason: str


def check_compute(device: torch.device) -> list[Check]:
    """The device, the compilers and the back-ends."""
    of_device = (_check_compiler(device), _check_fused(device))
    return [_check_device(device), _check_versions(), *of_device, *_check_backends()]


def quant_type_support(device: torch.device) -> list[QuantTypeSupport]:
    """Every quant type, tried on the device."""
    plans = {name: plan_execution(parse_quant_type(name), device) for name in QUANT_TYPE_NAMES}
    return [
        QuantTypeSupport(
            quant_type=name,
            execution=str(plan.execution),
            backend=plan.backend,
            reason=plan.reason,
        )
        for name, plan in plans.items()
    ]


def _check_device(device: torch.device) -> Check:
    machine = describe_machine(device)
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        memory = (machine.gpu_memory_bytes or 0) / 2**30
        detail = f"{machine.device_name}, {memory:.0f} GiB, compute capability {major}.{minor}"
        return Check(name="GPU", ok=True, detail=detail)
    if torch.version.cuda is None:
        detail = f"torch {torch.__version__} is built without CUDA"
        advice = "with an NVIDIA GPU: pip install a CUDA build of torch"
    else:
        detail, advice = "no NVIDIA GPU is visible to torch", "check nvidia-smi and the driver"
    return Check(
        name="GPU", ok=False, detail=f"{detail}; using {machine.summary}", next_step=advice
    )


def _check_versions() -> Check:
    versions = ", ".join(f"{name} {number}" for name, number in describe_versions().items())
    return Check(name="versions", ok=True, detail=versions)


def _check_compiler(device: torch.device) -> Check:
    if device.type == "cuda":
        found = find_spec("triton") is not None
        advice = "" if found else "pip install triton"
        return Check(name="torch.compile", ok=found, detail="uses triton", next_step=advice)
    path = shutil.which("g++") or shutil.which("clang++")
    return Check(
        name="torch.compile",
        ok=path is not None,
        detail=f"uses {path}" if path else "found no C++ compiler",
        next_step="" if path else "install g++ (Debian: apt install g++)",
    )


def _check_fused(device: torch.device) -> Check:
    """Describes the kernels of ``--compiler torch`` on this machine."""
    name, needs = "fused kernels", "they need an NVIDIA GPU of compute capability 8.0 or newer"
    if device.type != "cuda" or find_spec("triton") is None:
        advice = "without them --compiler torch compiles with Inductor"
        return Check(name=name, ok=False, detail=needs, next_step=advice)
    capability = torch.cuda.get_device_capability(device)
    if capability < LEAST_CAPABILITY:
        return Check(name=name, ok=False, detail=needs, next_step="use --compiler compile")
    parts = ["bf16 and int8 linears"]
    parts += ["fp8 linears"] if capability >= FP8_CAPABILITY else []
    parts += ["own attention, fp8 attention"] if capability == HOPPER else []
    return Check(name=name, ok=True, detail=", ".join(parts))


def _check_backends() -> list[Check]:
    needs = {
        "onediff": "optional: pip install 'pixart-tui[onediff]'",
        "nexfort": "optional: from its vendor; its last builds need torch 2.4 and CUDA 12.1",
        "oneflow": "optional: from its own releases, by CUDA version; that of PyPI is too old",
    }
    return [
        Check(
            name=name,
            ok=find_spec(name) is not None,
            detail="installed" if find_spec(name) else "not installed",
            next_step="" if find_spec(name) else advice,
        )
        for name, advice in needs.items()
    ]
