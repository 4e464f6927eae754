from __future__ import annotations

import subprocess
import sys

import pytest

from pixart_tui.machine.nvml import gpu_handle, read_gauges


def test_a_machine_without_such_a_gpu_has_no_handle() -> None:
    assert gpu_handle("99") is None
    assert gpu_handle("GPU-00000000-0000-0000-0000-000000000000") is None


def test_it_needs_no_torch() -> None:
    code = "import sys, pixart_tui.machine.nvml; print('torch' in sys.modules)"
    probe = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert probe.stdout.strip() == "False"


@pytest.mark.gpu
def test_the_gauges_of_a_gpu_at_work() -> None:
    import time

    import torch

    matrix = torch.randn(8192, 8192, device="cuda:0")
    uuid = str(torch.cuda.get_device_properties(0).uuid).removeprefix("GPU-")
    handle = gpu_handle(f"GPU-{uuid}")
    until_s = time.perf_counter() + 2.0
    while time.perf_counter() < until_s:
        matrix @ matrix
        torch.cuda.synchronize()
    found = read_gauges(handle)

    assert found is not None, "NVML told nothing; look whether this container lets it"
    assert found.source == "gpu"
    assert found.utilization is not None
    assert 0.5 < found.utilization <= 1.0
    assert found.memory_bytes is not None
    assert found.memory_total_bytes is not None
    assert matrix.nbytes < found.memory_bytes < found.memory_total_bytes
    assert found.power_w is not None
    assert 20 < found.power_w < 2000
    assert found.temperature_c is not None
    assert 10 < found.temperature_c < 110
