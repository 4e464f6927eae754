from __future__ import annotations

import pytest
import torch

from pixart_tui.domain.layers.choice import Choice
from pixart_tui.domain.layers.quant_types import QUANT_TYPE_NAMES, parse_quant_type
from pixart_tui.engine.quant.execution import Execution, plan_choice, plan_execution

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", QUANT_TYPE_NAMES)
def test_a_cpu_runs_int8_and_fp8_weight_only_for_real(name: str) -> None:
    plan = plan_execution(parse_quant_type(name), CPU)
    real = name.startswith("int8") or (name.startswith("fp8") and "weightonly" in name)
    assert plan.execution is (Execution.REAL if real else Execution.SIMULATED)
    assert ("torchao" in plan.backend) == real
    assert plan.reason


def test_a_simulated_type_says_what_is_missing_and_what_would_run() -> None:
    reason = plan_execution(parse_quant_type("fp8_e4m3_e4m3_dynamic"), CPU).reason
    assert "compute capability 8.9" in reason
    assert "int8_dynamic" in reason


def test_an_unknown_kind_of_device_is_simulated() -> None:
    plan = plan_execution(parse_quant_type("int8_dynamic"), torch.device("mps"))
    assert plan.execution is Execution.SIMULATED
    assert "mps" in plan.reason


def test_planning_leaves_the_random_state_alone() -> None:
    plan_execution.cache_clear()
    state = torch.get_rng_state()
    plan_execution(parse_quant_type("int8_dynamic"), CPU)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_kernel_that_fails_or_lies_is_not_called_real(monkeypatch: pytest.MonkeyPatch) -> None:
    from pixart_tui.engine.quant import execution

    quant_type = parse_quant_type("int8_dynamic")
    monkeypatch.setattr(execution, "TRIAL_TOLERANCE", 0.0)
    assert "differed" in str(execution._failed_trial(quant_type, CPU))
    fp8 = parse_quant_type("fp8_e4m3_e4m3_dynamic_per_tensor")
    assert "refused" in str(execution._failed_trial(fp8, CPU))


def test_a_choice_runs_for_real_where_each_of_its_types_does() -> None:
    real = {"a": "int8_dynamic", "b": "int8_weightonly", "c": "int8_dynamic"}
    plan = plan_choice(Choice(assignments=real), CPU)
    assert plan is not None
    assert plan.execution is Execution.REAL
    assert plan.backend.count("torchao") == 2
    mixed = plan_choice(Choice(assignments=real | {"d": "fp8_e4m3_e4m3_dynamic"}), CPU)
    assert mixed == plan_execution(parse_quant_type("fp8_e4m3_e4m3_dynamic"), CPU)
    assert plan_choice(Choice(), CPU) is None
