from __future__ import annotations

import numpy as np
import pytest
import torch

from pixart_tui.engine.bench.memory import peak_bytes, reset_peak

_MIB = 2**20


def test_the_peak_of_the_process_holds_what_was_freed() -> None:
    cpu = torch.device("cpu")
    reset_peak(cpu)
    before = peak_bytes(cpu)
    np.ones(200 * _MIB, dtype=np.uint8).sum()
    assert peak_bytes(cpu) >= before + 150 * _MIB


@pytest.mark.gpu
def test_the_peak_on_cuda_is_that_since_the_reset() -> None:
    cuda = torch.device("cuda")
    torch.empty(512 * _MIB, dtype=torch.uint8, device=cuda)
    reset_peak(cuda)
    before = peak_bytes(cuda)
    torch.empty(64 * _MIB, dtype=torch.uint8, device=cuda)
    assert peak_bytes(cuda) - before == 64 * _MIB
