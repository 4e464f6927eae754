from __future__ import annotations

import copy
from collections import OrderedDict

import pytest
import torch
from torch import Tensor, nn

from pixart_tui.domain.errors import PixartTuiError, RequestError, WorkError
from pixart_tui.domain.layers.quant_types import parse_quant_type
from pixart_tui.engine.quant.apply import (
    layers_quantized,
    one_layer_quantized,
    quantize_layers,
)
from pixart_tui.engine.quant.execution import Execution
from pixart_tui.engine.quant.real import is_quantized
from pixart_tui.engine.quant.simulated import BatchLayout, SimulatedLinear

FP8, INT8 = parse_quant_type("fp8_e4m3_e4m3_dynamic"), parse_quant_type("int8_dynamic")
PER_TENSOR = parse_quant_type("fp8_e4m3_e4m3_dynamic_per_tensor")
WEIGHT_ONLY = parse_quant_type("fp8_e4m3_weightonly")


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(64, 64)
        self.to_out = nn.ModuleList([nn.Linear(64, 64), nn.Dropout(0.0)])

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.to_out[0](self.to_q(x))
        return x + y


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    blocks = nn.Sequential(Block(), Block())
    return nn.Sequential(
        OrderedDict(transformer_blocks=blocks, norm=nn.LayerNorm(64), proj_out=nn.Linear(64, 32))
    )


def module_types(model: nn.Module) -> dict[str, type[nn.Module]]:
    return {name: type(module) for name, module in model.named_modules()}


def is_plain(model: nn.Module, name: str) -> bool:
    module = model.get_submodule(name)
    return isinstance(module, nn.Linear) and not is_quantized(module)


def test_exactly_the_named_layers_are_simulated(model: nn.Module) -> None:
    before = module_types(model)
    names = ("proj_out", "transformer_blocks.1.to_out.0")
    replaced = quantize_layers(model, dict.fromkeys(names, FP8), execution=Execution.SIMULATED)
    assert replaced == names
    assert module_types(model) == before | dict.fromkeys(names, SimulatedLinear)


def test_exactly_the_named_layers_are_real_each_with_its_type(model: nn.Module) -> None:
    types = {"transformer_blocks.0.to_q": INT8, "proj_out": WEIGHT_ONLY}
    assert quantize_layers(model, types, execution=Execution.REAL) == tuple(types)
    linears = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
    assert {name for name, linear in linears.items() if is_quantized(linear)} == set(types)
    assert type(linears["proj_out"].weight).__name__ == "Float8Tensor"
    assert type(linears["transformer_blocks.0.to_q"].weight).__name__ == "Int8Tensor"


@torch.no_grad()
def test_real_and_simulated_models_agree(model: nn.Module) -> None:
    x, simulated = torch.randn(2, 20, 64), copy.deepcopy(model)
    plain = model(x)
    types = {"transformer_blocks.0.to_q": INT8, "proj_out": WEIGHT_ONLY}
    quantize_layers(model, types, execution=Execution.REAL)
    quantize_layers(simulated, types, execution=Execution.SIMULATED)
    torch.testing.assert_close(model(x), simulated(x), rtol=1e-4, atol=1e-5)
    assert (model(x) - plain).abs().max() > 0.005


@pytest.mark.parametrize("execution", list(Execution))
def test_an_unknown_layer_is_told_with_the_closest(model: nn.Module, execution: Execution) -> None:
    before = module_types(model)
    types = {"proj_out": INT8, "transformer_blocks.1.to_k": INT8}
    with pytest.raises(RequestError) as caught:
        quantize_layers(model, types, execution=execution)
    assert "transformer_blocks.1.to_k" in caught.value.title
    assert "transformer_blocks.1.to_q" in caught.value.next_step
    assert module_types(model) == before
    assert is_plain(model, "proj_out")


@pytest.mark.parametrize("name", ["norm", "transformer_blocks.0", ""])
def test_what_is_no_linear_is_refused(model: nn.Module, name: str) -> None:
    with pytest.raises(RequestError, match="cannot be quantized"):
        quantize_layers(model, {name: FP8}, execution=Execution.SIMULATED)


@pytest.mark.parametrize("execution", list(Execution))
def test_a_layer_is_quantized_once(model: nn.Module, execution: Execution) -> None:
    quantize_layers(model, {"proj_out": INT8}, execution=execution)
    with pytest.raises(RequestError, match="cannot be quantized"):
        quantize_layers(model, {"proj_out": INT8}, execution=execution)


@torch.no_grad()
def test_a_failure_half_way_leaves_nothing_quantized(model: nn.Module) -> None:
    x = torch.randn(2, 20, 64)
    before, representation = model(x), repr(model)
    types = {"transformer_blocks.0.to_q": INT8, "proj_out": PER_TENSOR}
    with pytest.raises(WorkError, match="proj_out"):
        quantize_layers(model, types, execution=Execution.REAL)
    assert torch.equal(model(x), before)
    assert repr(model) == representation


def test_a_skipped_layer_never_passes() -> None:
    model = nn.Sequential(OrderedDict(fc=nn.Linear(72, 32, dtype=torch.bfloat16)))
    with pytest.raises(PixartTuiError) as caught:
        quantize_layers(
            model, {"fc": parse_quant_type("int4_weightonly")}, execution=Execution.REAL
        )
    assert "skipped" in caught.value.cause


@torch.no_grad()
def test_one_layer_is_simulated_and_put_back(model: nn.Module) -> None:
    x, name = torch.randn(2, 4, 64), "transformer_blocks.1.to_out.0"
    before, original, order = model(x), model.get_submodule(name), list(module_types(model))
    with one_layer_quantized(model, name, FP8):
        assert isinstance(model.get_submodule(name), SimulatedLinear)
        assert not torch.equal(model(x), before)
    assert model.get_submodule(name) is original
    assert torch.equal(model(x), before)
    assert list(module_types(model)) == order


def test_an_exception_puts_the_layer_back(model: nn.Module) -> None:
    original = model.get_submodule("proj_out")
    with pytest.raises(KeyboardInterrupt), one_layer_quantized(model, "proj_out", FP8):
        raise KeyboardInterrupt
    assert model.get_submodule("proj_out") is original


def test_the_batch_layout_reaches_the_layer(model: nn.Module) -> None:
    layout = BatchLayout(guidance=2, images=3)
    with one_layer_quantized(model, "proj_out", PER_TENSOR, layout):
        simulated = model.get_submodule("proj_out")
        assert isinstance(simulated, SimulatedLinear)
        assert simulated.layout == layout


def test_one_unknown_layer_is_refused(model: nn.Module) -> None:
    with pytest.raises(RequestError), one_layer_quantized(model, "proj_outt", FP8):
        pytest.fail("the context opened")


def test_several_layers_are_quantized_at_once_and_put_back(model: nn.Module) -> None:
    before = dict(model.named_modules())
    wanted = {"transformer_blocks.0.to_q": FP8, "transformer_blocks.1.to_q": INT8}
    with layers_quantized(model, wanted):
        for fqn, quant_type in wanted.items():
            module = model.get_submodule(fqn)
            assert isinstance(module, SimulatedLinear)
            assert module.quant_type is quant_type
    assert dict(model.named_modules()) == before


def test_a_gated_layer_is_quantized_only_while_it_is_told(model: nn.Module) -> None:
    x = torch.randn(3, 64)
    plain = model(x)
    on = [False]
    with layers_quantized(model, {"transformer_blocks.0.to_q": INT8}, only_while=lambda: on[0]):
        assert torch.equal(model(x), plain)
        on[0] = True
        assert not torch.equal(model(x), plain)
    assert torch.equal(model(x), plain)


def test_a_layer_that_cannot_be_quantized_leaves_the_others_as_they_were(model: nn.Module) -> None:
    before = dict(model.named_modules())
    wanted = {"transformer_blocks.0.to_q": FP8, "nothing": FP8}
    with pytest.raises(RequestError), layers_quantized(model, wanted):
        pass
    assert dict(model.named_modules()) == before
