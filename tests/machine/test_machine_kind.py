from __future__ import annotations

import subprocess
import sys

import pytest

from pixart_tui.machine.machine_kind import machine_kind, visible_gpu
from tests.caches.cache_samples import KIND

UUID = "GPU-01234567-89ab-cdef-0123-456789abcdef"


def test_this_cpu_is_told_without_torch() -> None:
    code = (
        "import sys; from pixart_tui.machine.machine_kind import machine_kind;"
        "print(machine_kind('cpu').versions['torch'], 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    version, imported = done.stdout.split()
    assert version[0].isdecimal()
    assert imported == "False"


def test_the_same_machine_is_of_the_same_kind() -> None:
    kind = machine_kind("cpu")
    assert kind == machine_kind("cpu")
    assert kind.differences(kind) == []
    assert kind.device_name
    assert kind.compute_capability == ""
    assert kind.versions["Python"] == f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.mark.parametrize(
    "change",
    [
        {"device_name": "Sample GPU 81GB"},
        {"compute_capability": "9.1"},
        {"platform": "Linux aarch64"},
        {"versions": KIND.versions | {"triton": "3.7.0"}},
    ],
)
def test_any_difference_makes_another_directory(change: dict[str, object]) -> None:
    other = KIND.replace(**change)
    assert other.key != KIND.key
    assert len(KIND.differences(other)) == 1
    assert KIND.key.startswith("sample-gpu-80gb-")


@pytest.mark.parametrize(
    ("visible", "device", "name"),
    [
        (None, "cuda:1", "1"),
        ("", "cuda:1", "1"),
        ("3,2", "cuda:0", "3"),
        ("3, 2", "cuda:1", "2"),
        ("GPU-5a3c", "cuda:0", "0"),
        (f"1,{UUID}", "cuda:1", UUID),
    ],
)
def test_cuda_may_see_only_some_gpus(
    monkeypatch: pytest.MonkeyPatch, visible: str | None, device: str, name: str
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert visible_gpu(device) == name


@pytest.mark.gpu
def test_the_driver_and_torch_call_a_gpu_the_same() -> None:
    import torch

    kind = machine_kind("cuda:0")
    assert kind.device_name == torch.cuda.get_device_name(0)
    assert kind.compute_capability == "{}.{}".format(*torch.cuda.get_device_capability(0))
    assert kind.versions["CUDA"] == torch.version.cuda
