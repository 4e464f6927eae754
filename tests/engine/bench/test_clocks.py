from __future__ import annotations

import time

import pytest
import torch

from pixart_tui.engine.bench.clocks import SAMPLE_EVERY_S, ClockSampler


def test_a_cpu_has_no_clocks_to_ask_for() -> None:
    with ClockSampler(torch.device("cpu")) as sampler:
        time.sleep(2 * SAMPLE_EVERY_S)
    assert sampler.clocks() is None


@pytest.mark.gpu
def test_the_clocks_of_a_gpu_at_work() -> None:
    device = torch.device("cuda", 0)
    matrix = torch.randn(4096, 4096, device=device)
    with ClockSampler(device) as sampler:
        until_s = time.perf_counter() + 0.5
        while time.perf_counter() < until_s:
            matrix @ matrix
            torch.cuda.synchronize()
    found = sampler.clocks()
    assert found is not None, "NVML told nothing; look whether this container lets it"
    assert found.samples >= 3
    assert 200 < found.sm_mhz < 4000
    assert 20 < found.power_w < 2000
    assert 10 < found.temperature_c < 110
