from __future__ import annotations

import pytest
import torch

from pixart_tui.domain.errors import RequestError
from pixart_tui.engine.bench.quantization import plan_quantization
from pixart_tui.engine.quant.execution import Execution
from tests.samples import QUANT_TYPE, layer

_CPU = torch.device("cpu")
_LAYERS = (layer("a"), layer("b"), layer("odd", size=40))


def test_without_a_file_every_layer_that_the_kernels_can_run() -> None:
    found = plan_quantization(QUANT_TYPE, None, _LAYERS, _CPU)
    assert found.layers == ("a", "b")
    assert list(found.skipped) == ["odd"]


def test_a_file_says_which_and_in_which_order() -> None:
    found = plan_quantization(QUANT_TYPE, ("b", "odd"), _LAYERS, _CPU)
    assert found.layers == ("b",)
    assert "odd" in found.note


def test_what_a_cpu_cannot_run_is_simulated_and_says_why() -> None:
    found = plan_quantization(QUANT_TYPE, ("a",), _LAYERS, _CPU)
    assert found.plan.execution is Execution.SIMULATED
    assert found.note == found.plan.reason


def test_what_a_cpu_runs_is_real_and_names_the_kernel() -> None:
    found = plan_quantization("int8_dynamic", ("a",), _LAYERS, _CPU)
    assert found.plan.execution is Execution.REAL
    assert found.note == found.plan.backend


def test_names_that_the_model_does_not_have_are_named() -> None:
    with pytest.raises(RequestError, match="does not have") as caught:
        plan_quantization(QUANT_TYPE, ("a", "x", "y", "z", "w"), _LAYERS, _CPU)
    assert caught.value.cause == "x, y, z and 1 more"


@pytest.mark.parametrize("wanted", [(), ("odd",)])
def test_nothing_left_is_refused(wanted: tuple[str, ...]) -> None:
    with pytest.raises(RequestError, match="no layer would be quantized"):
        plan_quantization(QUANT_TYPE, wanted, _LAYERS, _CPU)
